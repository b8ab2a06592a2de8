# `moec-docs`: one page per dialect and one per Passes.td below build/docs/,
# generated from the TableGen descriptions; never part of a normal build.

file(GLOB_RECURSE moec_pass_tds RELATIVE ${CMAKE_SOURCE_DIR}/include
  ${CMAKE_SOURCE_DIR}/include/moec/*Passes.td)
set(moec_doc_dir ${CMAKE_BINARY_DIR}/docs)
set(moec_doc_pages)

# moec_add_doc_page(page.md file.td GENERATOR-OPTIONS...)
function(moec_add_doc_page page td)
  set(includes -I ${CMAKE_SOURCE_DIR}/include)
  foreach(dir IN LISTS MLIR_INCLUDE_DIRS)
    list(APPEND includes -I ${dir})
  endforeach()
  add_custom_command(OUTPUT ${moec_doc_dir}/${page}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${moec_doc_dir}
    COMMAND ${MLIR_TABLEGEN_EXE} ${ARGN} ${includes}
            ${CMAKE_SOURCE_DIR}/include/${td} -o ${moec_doc_dir}/${page}
            -d ${moec_doc_dir}/${page}.d
    DEPENDS ${CMAKE_SOURCE_DIR}/include/${td}
    DEPFILE ${moec_doc_dir}/${page}.d
    COMMENT "Writing docs/${page}" VERBATIM)
  set(moec_doc_pages ${moec_doc_pages} ${moec_doc_dir}/${page} PARENT_SCOPE)
endfunction()

moec_add_doc_page(moe.md moec/Dialect/Moe/IR/MoeOps.td -gen-dialect-doc -dialect=moe)
moec_add_doc_page(moe_tile.md moec/Dialect/MoeTile/IR/MoeTileOps.td
  -gen-dialect-doc -dialect=moe_tile)
moec_add_doc_page(moe_nv.md moec/Dialect/MoeNv/IR/MoeNvOps.td
  -gen-dialect-doc -dialect=moe_nv)
foreach(td IN LISTS moec_pass_tds)
  # moec/Dialect/Moe/Transforms/Passes.td gives passes-Moe-Transforms.md.
  string(REGEX REPLACE "^moec/(Dialect/)?(.*)/Passes\\.td$" "\\2" page ${td})
  string(REPLACE "/" "-" page ${page})
  moec_add_doc_page(passes-${page}.md ${td} -gen-pass-doc)
endforeach()
add_custom_target(moec-docs DEPENDS ${moec_doc_pages})
