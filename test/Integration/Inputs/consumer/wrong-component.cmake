find_package(Moec CONFIG REQUIRED COMPONENTS Runtime Everything)
