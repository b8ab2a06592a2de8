/*===- moec-c/Runtime.h - Load and run compiled MoE layers --------*- C -*-===*\
|*                                                                            *|
|* Part of moec, under the Apache License v2.0 with LLVM Exceptions.          *|
|* See LICENSE for licence information.                                       *|
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception                    *|
|*                                                                            *|
|*===----------------------------------------------------------------------===*|
|*                                                                            *|
|* The C interface of libmoec_runtime. It needs neither LLVM nor MLIR. The    *|
|* layout of an artifact is described in docs/artifact.md.                    *|
|*                                                                            *|
|* Errors: every function that can fail returns a moec_status; on anything    *|
|* but MOEC_OK, moec_last_error() of the same thread names the rule that was  *|
|* broken and the numbers. Results are written only on MOEC_OK.               *|
|*                                                                            *|
|* Threads: a moec_layer is immutable after it was opened, so any number of   *|
|* threads may query and run it at the same time, each with its own workspace *|
|* and outputs. Runs on one pool queue up behind each other; runs on          *|
|* different pools proceed in parallel. Runs on streams never wait for each   *|
|* other. Closing a layer or destroying a pool that is in use is the caller's *|
|* error; for a layer on a GPU, that is until its kernels have ended.         *|
|*                                                                            *|
|* Memory: nothing is allocated after moec_open / moec_open_kernels /         *|
|* moec_pool_create. All scratch memory is the workspace the caller passes.   *|
|*                                                                            *|
|* Compatibility: functions and enumerators are only ever added. Structures   *|
|* with a struct_size may grow at the end; set it to sizeof(the structure).   *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/

#ifndef MOEC_C_RUNTIME_H
#define MOEC_C_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define MOEC_EXPORT
#else
#define MOEC_EXPORT __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** Raised when a function or structure changes incompatibly. */
#define MOEC_RUNTIME_ABI 1
/** The manifest format this runtime reads. */
#define MOEC_MANIFEST_FORMAT 1
/** Alignment in bytes that a workspace pointer must have. */
#define MOEC_WORKSPACE_ALIGN 64
/** The largest tensor rank. */
#define MOEC_MAX_RANK 8

/** Outcome of a call. */
typedef enum moec_status {
  MOEC_OK = 0,
  MOEC_ERR_INVALID_ARGUMENT = 1, /**< null, out of range, wrong count */
  MOEC_ERR_FILE = 2,             /**< a file is missing or unreadable */
  MOEC_ERR_MANIFEST = 3,         /**< the manifest breaks a rule */
  MOEC_ERR_FORMAT = 4,           /**< manifest of another format number */
  MOEC_ERR_CODE = 5,             /**< code object or kernel symbol missing */
  MOEC_ERR_UNSUPPORTED = 6,      /**< no variant runs on this machine */
  MOEC_ERR_NO_VARIANT = 7,       /**< no variant covers this token count */
  MOEC_ERR_SHAPE = 8,            /**< rank, dimension or strides differ */
  MOEC_ERR_DTYPE = 9,            /**< element type differs */
  MOEC_ERR_ALIGNMENT = 10,       /**< a pointer is not aligned enough */
  MOEC_ERR_WORKSPACE = 11,       /**< workspace missing or too small */
  MOEC_ERR_RESOURCES = 12,       /**< threads or memory not available */
  MOEC_ERR_DEVICE = 13           /**< no driver, no GPU, or the driver failed */
} moec_status;

/** Element types. The names in a manifest are those of MLIR: "f32", "bf16",
 *  "f8E4M3FN", ... Sub-byte elements are stored packed as i8 or u8 tensors;
 *  i8 and u8 arguments accept each other, since packed bytes have no sign. */
typedef enum moec_dtype {
  MOEC_F64 = 0,
  MOEC_F32 = 1,
  MOEC_F16 = 2,
  MOEC_BF16 = 3,
  MOEC_F8E4M3FN = 4,
  MOEC_F8E5M2 = 5,
  MOEC_F8E4M3FNUZ = 6,
  MOEC_F8E5M2FNUZ = 7,
  MOEC_F8E8M0FNU = 8,
  MOEC_I8 = 9,
  MOEC_U8 = 10,
  MOEC_I16 = 11,
  MOEC_I32 = 12,
  MOEC_I64 = 13,
  MOEC_BOOL = 14
} moec_dtype;

/** Whether a layer reads or writes an argument. */
typedef enum moec_role { MOEC_INPUT = 0, MOEC_OUTPUT = 1 } moec_role;

/** An opened layer; a set of persistent threads. */
typedef struct moec_layer moec_layer;
typedef struct moec_pool moec_pool;

/** A CPU kernel. argv[i] belongs to the launch's i-th argument: the data
 *  pointer of a tensor (null when an optional one is absent) or of a workspace
 *  slice, or a pointer to an int64_t for a dimension. Every worker of the pool
 *  calls the kernel once, with its number in [0, workers). */
typedef void (*moec_kernel)(void *const *argv, int64_t worker, int64_t workers);

/** A row-major tensor in the caller's memory. strides (in elements) may be
 *  null; otherwise they must be those of a contiguous tensor. data may be null
 *  for a tensor without elements and for an optional argument left out. */
typedef struct moec_tensor {
  void *data;
  int32_t dtype; /**< a moec_dtype */
  int32_t rank;
  const int64_t *dims;
  const int64_t *strides;
} moec_tensor;

/** Options of moec_open and moec_open_kernels. Zero means the default. */
typedef struct moec_open_options {
  size_t struct_size;
  /** Use no instruction set above this one ("x86-64", "avx2", "avx512",
   *  "avx512bf16"); null: all that this machine has. */
  const char *isa;
  /** The entry of the manifest's "functions" to open, e.g. a weight packing;
   *  null: the layer itself. */
  const char *function;
  uint32_t flags; /**< MOEC_OPEN_* */
  /** Where the layer will run, which decides the variants that are loaded:
   *  - null or "cpu": moec_run.
   *  - "cuda": moec_run_on_stream, in the context that is current in the
   *    calling thread or, if there is none, in device 0's primary context.
   *  - "cuda:N": the same on device N: in the current context if it is of that
   *    device, else in the device's primary context.
   *  - "hip", "hip:N": moec_run_on_stream on an AMD GPU: the device that is
   *    current in the calling thread, or device N.
   *  A context that was current must outlive the layer; a primary context is
   *  retained until moec_close. */
  const char *target;
  /** The library to use as the GPU's driver; null: what the environment
   *  variable MOEC_CUDA_DRIVER names, else "libcuda.so.1"; for AMD GPUs
   *  MOEC_HIP_DRIVER, else "libamdhip64.so" of ROCm 7 or 6. A process uses one
   *  HIP library. */
  const char *driver;
} moec_open_options;

/** Read the manifest only: queries work, moec_run does not. No variant needs
 *  to fit this machine and no code object is loaded. */
#define MOEC_OPEN_MANIFEST_ONLY 1u

/** Pins worker i > 0 to the i-th allowed CPU. The caller's thread is left
 *  alone. */
#define MOEC_POOL_PIN 1u

/** A kernel that is already in memory: symbol as in the manifest's launches.
 *  code: the code object it belongs to, null: any. */
typedef struct moec_kernel_entry {
  const char *code;
  const char *symbol;
  moec_kernel kernel;
} moec_kernel_entry;

/** What the manifest says of an argument. Strings live as long as the layer. */
typedef struct moec_argument_info {
  size_t struct_size;
  const char *name;
  int32_t dtype; /**< a moec_dtype */
  int32_t role;  /**< a moec_role */
  int32_t optional;
  int32_t rank;
  int64_t align; /**< bytes the data pointer must be aligned to */
} moec_argument_info;

/** What the manifest says of a variant. Numbers that the compiler could not
 *  know are -1. Strings live as long as the layer. */
typedef struct moec_variant_info {
  size_t struct_size;
  const char *target; /**< "cpu", "sm_90a", "gfx942", ... */
  const char *isa;    /**< "avx2", ...; empty for GPUs */
  const char *code;   /**< file name of the code object, "" if there is none */
  int64_t tokens_lo;  /**< first and last token count, inclusive; */
  int64_t tokens_hi;  /**< -1 = unbounded */
  int32_t runnable;   /**< 1: loaded, moec_run may choose it */
  int32_t launches;
  int32_t configs; /**< entries of moec_variant_config */
  int64_t registers;
  int64_t shared_memory;
  int64_t spills;
} moec_variant_info;

/** Filled in by moec_run. */
typedef struct moec_run_stats {
  size_t struct_size;
  int32_t variant; /**< -1 when nothing had to be launched */
  int32_t launches;
  int32_t workers;
  uint64_t workspace_bytes; /**< needed, not passed */
  uint64_t nanoseconds;     /**< checks, waiting for the pool and kernels */
  uint64_t kernel_nanoseconds;
} moec_run_stats;

/*===-- Library -------------------------------------------------------------*/

/** MOEC_RUNTIME_ABI of the library that was loaded. */
MOEC_EXPORT int32_t moec_abi_version(void);
/** Version of the library, "0.1.0". */
MOEC_EXPORT const char *moec_version(void);
/** Message of this thread's last failed call; "" before the first one. Valid
 *  until this thread's next failing call. */
MOEC_EXPORT const char *moec_last_error(void);
/** "MOEC_ERR_SHAPE" etc., "unknown status" for other numbers. */
MOEC_EXPORT const char *moec_status_name(int32_t status);
/** Bytes per element, 0 for a number that is no moec_dtype. */
MOEC_EXPORT int64_t moec_dtype_size(int32_t dtype);
/** The manifest's name, null for a number that is no moec_dtype. */
MOEC_EXPORT const char *moec_dtype_name(int32_t dtype);
/** The highest instruction set this machine and its operating system support;
 *  "" on a machine that is not an x86-64. */
MOEC_EXPORT const char *moec_cpu_isa(void);
/** 1 if code for this instruction set runs here, else 0. */
MOEC_EXPORT int32_t moec_cpu_supports(const char *isa);

/*===-- Pools ---------------------------------------------------------------*/

/** Starts workers - 1 persistent threads; the thread that calls moec_run is
 *  worker 0. workers = 0: one per CPU this process may use. The threads block
 *  all signals and compute with the default floating-point environment. */
MOEC_EXPORT moec_status moec_pool_create(int32_t workers, uint32_t flags,
                                         moec_pool **pool);
/** Joins the threads. Null is allowed. */
MOEC_EXPORT void moec_pool_destroy(moec_pool *pool);
/** Number of workers; 1 for a null pool. */
MOEC_EXPORT int32_t moec_pool_workers(const moec_pool *pool);
/** Calls fn(context, worker, workers) once per worker and returns when all are
 *  done. A null pool runs it on this thread. fn must not use the same pool. */
MOEC_EXPORT moec_status moec_pool_run(moec_pool *pool,
                                      void (*fn)(void *context, int64_t worker,
                                                 int64_t workers),
                                      void *context);

/*===-- Layers --------------------------------------------------------------*/

/** Opens an artifact directory and loads the code objects that fit this
 *  machine. options may be null. */
MOEC_EXPORT moec_status moec_open(const char *directory,
                                  const moec_open_options *options,
                                  moec_layer **layer);
/** Opens a layer whose kernels are in memory (a JIT's, or linked in). manifest
 *  is the JSON text, of the given length; kernels must stay valid until the
 *  layer is closed. options may be null. */
MOEC_EXPORT moec_status moec_open_kernels(const char *manifest, size_t length,
                                          const moec_kernel_entry *kernels,
                                          size_t kernel_count,
                                          const moec_open_options *options,
                                          moec_layer **layer);
/** Unloads the code. Null is allowed. */
MOEC_EXPORT void moec_close(moec_layer *layer);

/** The manifest's text, as it was read. */
MOEC_EXPORT const char *moec_manifest(const moec_layer *layer);
/** The layer's or function's name. */
MOEC_EXPORT const char *moec_layer_name(const moec_layer *layer);
/** Where the layer runs: "cpu", "cuda:0", "hip:0", ...; "" if only the manifest
 * was opened. */
MOEC_EXPORT const char *moec_layer_target(const moec_layer *layer);
/** An integer of the manifest's "dims": "E", "k", "H", "I", ... */
MOEC_EXPORT moec_status moec_layer_dim(const moec_layer *layer,
                                       const char *name, int64_t *value);

MOEC_EXPORT int32_t moec_argument_count(const moec_layer *layer);
MOEC_EXPORT moec_status moec_argument(const moec_layer *layer, int32_t index,
                                      moec_argument_info *info);
/** Writes the argument's rank dimensions for this many tokens to dims, which
 *  has room for capacity numbers. */
MOEC_EXPORT moec_status moec_argument_shape(const moec_layer *layer,
                                            int32_t index, int64_t tokens,
                                            int64_t *dims, int32_t capacity);

MOEC_EXPORT int32_t moec_variant_count(const moec_layer *layer);
MOEC_EXPORT moec_status moec_variant(const moec_layer *layer, int32_t index,
                                     moec_variant_info *info);
/** The entry-th "#moe.config<...>" of a variant, best first. */
MOEC_EXPORT moec_status moec_variant_config(const moec_layer *layer,
                                            int32_t index, int32_t entry,
                                            const char **config);

/** The variant that a run takes: of the runnable ones that cover the token
 *  count, the one with the highest instruction set, the first in the manifest
 *  among equals. -1 if tokens is 0 and no variant covers 0: a run then checks
 *  its arguments and launches nothing. On a GPU a run passes over variants
 *  whose tensor maps cannot take the addresses it was given. */
MOEC_EXPORT moec_status moec_select_variant(const moec_layer *layer,
                                            int64_t tokens, int32_t *index);

/** Bytes of workspace that a run needs for this token count on this pool
 *  (null: one worker, or a GPU). May be 0. */
MOEC_EXPORT moec_status moec_workspace_size(const moec_layer *layer,
                                            const moec_pool *pool,
                                            int64_t tokens, uint64_t *bytes);

/** Runs the layer and returns when the outputs are written.
 *  - args: one tensor per argument of the manifest, in its order; checked for
 *    null, dtype, shape, contiguity and alignment, and outputs for overlap
 *    with any other argument or the workspace.
 *  - pool: null runs everything on the calling thread.
 *  - workspace: MOEC_WORKSPACE_ALIGN-aligned, workspace_bytes long, contents
 *    arbitrary; used by this run alone until it returns.
 *  - tokens = 0 is legal.
 *  - stats may be null. */
MOEC_EXPORT moec_status moec_run(const moec_layer *layer, moec_pool *pool,
                                 const moec_tensor *args, int32_t arg_count,
                                 int64_t tokens, void *workspace,
                                 uint64_t workspace_bytes,
                                 moec_run_stats *stats);

/** Enqueues the layer on a stream of CUDA or HIP and returns at once; for
 *  layers opened with the target "cuda" or "hip". Allocates nothing,
 *  synchronises nothing and may be captured into a graph.
 *  - args, workspace: as for moec_run, in the GPU's memory; they must stay
 *    valid until the kernels have ended, in a graph until its last replay.
 *    Runs that may overlap need workspaces of their own.
 *  - stream: a CUstream or cudaStream_t of the layer's context, a hipStream_t
 *    of its device; null: the default stream. The calling thread's current
 *    context or device is left as it is.
 *  - device_tokens: null, or where on the GPU the real token count will stand
 *    when the kernels run, at most `tokens`; rows behind it are not computed,
 *    outputs hold zeros there or what they held before. An integer of the
 *    type that the variant's "device_tokens" arguments name; an error if it
 *    has none.
 *  - stats may be null; its times are those of this call, on the CPU.
 *  Everything is checked before the first launch. MOEC_ERR_DEVICE after that
 *  (a launch that the driver refused) leaves the outputs undefined. */
MOEC_EXPORT moec_status moec_run_on_stream(
    const moec_layer *layer, const moec_tensor *args, int32_t arg_count,
    int64_t tokens, void *workspace, uint64_t workspace_bytes, void *stream,
    const void *device_tokens, moec_run_stats *stats);

/** As moec_run_on_stream, but enqueues `count` of the variant's launches from
 *  number `first` on only: to time kernels alone. What launches before them
 *  compute must stand in the workspace and the outputs, from a complete run
 *  with the same arguments. No token, no launch: first and count are then not
 *  looked at. */
MOEC_EXPORT moec_status moec_run_part_on_stream(
    const moec_layer *layer, const moec_tensor *args, int32_t arg_count,
    int64_t tokens, void *workspace, uint64_t workspace_bytes, void *stream,
    const void *device_tokens, int32_t first, int32_t count,
    moec_run_stats *stats);

#ifdef __cplusplus
}
#endif

#endif /* MOEC_C_RUNTIME_H */
