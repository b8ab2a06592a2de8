"""The lit suite: .mlir and .test files by RUN lines, GoogleTest binaries as a whole."""

import os
import platform
import shutil
import subprocess

import lit.formats

config.name = "moec"
config.suffixes = [".mlir", ".test", ".py"]
config.excludes = ["Inputs", "lit.cfg.py", "CMakeLists.txt", "support"]
config.test_format = lit.formats.ShTest(execute_external=False)
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.moec_binary_root, "test")

config.environment["PATH"] = os.pathsep.join(
    [os.path.join(config.moec_binary_root, "bin"), config.llvm_tools_dir,
     os.environ.get("PATH", "")])
config.environment["PYTHONPATH"] = os.path.join(config.test_source_root, "support")

# Machine code of PTX is kept below the build, not in the user's cache.
config.environment["MOEC_CACHE_DIR"] = os.path.join(config.test_exec_root, "cubin-cache")

config.substitutions.append(("%python", config.python))
config.substitutions.append(("%inputs", os.path.join(config.test_source_root, "Inputs")))
config.substitutions.append(("%moec_src", config.moec_source_root))
config.substitutions.append(("%moec_bin", config.moec_binary_root))
config.substitutions.append(("%cxx", config.cxx))
config.substitutions.append(("%cc", config.cc))
config.substitutions.append(
    ("%print_layer", os.path.join(config.moec_binary_root, "bin", "unittests", "PrintLayer")))
config.substitutions.append(
    ("%emulate", os.path.join(config.moec_binary_root, "bin", "unittests", "EmulateDriver")))
config.substitutions.append(
    ("%stock_mlir_opt", os.path.join(config.llvm_tools_dir, "mlir-opt")))

# A test that needs a tool names its feature and is counted as skipped without it.
for tool in ("ptxas",):
    if shutil.which(tool):
        config.available_features.add(tool)
# Pictures are drawn where Debian's Python has matplotlib.
if subprocess.run([config.python, "-c", "import matplotlib"], check=False,
                  capture_output=True).returncode == 0:
    config.available_features.add("matplotlib")
try:
    flags = open("/proc/cpuinfo", encoding="utf-8").read()
except OSError:
    flags = ""
for flag in ("avx2", "avx512f", "avx512_bf16"):
    if f" {flag} " in flags or f" {flag}\n" in flags:
        config.available_features.add(flag.replace("_", "-"))
config.available_features.add(platform.machine())


# A stock mlir-opt cannot load a plugin that was built with sanitizers.
if not config.sanitize:
    config.available_features.add("plugin")

# Code of instrumented libraries needs an instrumented program around it.
if not config.sanitize and config.coverage in ("", "OFF"):
    config.available_features.add("plain-build")

# Eight files that the processes of all tests merge their counts into.
if config.coverage not in ("", "OFF"):
    config.environment["LLVM_PROFILE_FILE"] = os.path.join(
        config.moec_binary_root, "profiles", "%8m.profraw")

# Long tests run under `./dev test --full` only; elsewhere they are skipped.
if os.environ.get("MOEC_FULL"):
    config.available_features.add("full")
if os.path.exists(os.path.join(config.moec_source_root, "build-static", "bin", "moe-opt")):
    config.available_features.add("static-tools")

# LLVM's headers poison the free part of an allocator's slab where they are compiled
# with sanitizers; its libraries, which are not, would never lift that.
if config.sanitize:
    config.environment["ASAN_OPTIONS"] = os.environ.get(
        "ASAN_OPTIONS", "allow_user_poisoning=0")
    config.environment["UBSAN_OPTIONS"] = os.environ.get(
        "UBSAN_OPTIONS", "print_stacktrace=1")
