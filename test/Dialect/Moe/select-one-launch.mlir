// The formulation that has both products in one kernel, and where it cannot be built: never silently another one.
// DEFINE: %{target} = sm_80
// DEFINE: %{fix} = formulation=one_launch
// DEFINE: %{select} = moe-opt %s -moe-decompose-layer -moe-fuse-epilogue -moe-choose-formulation=formulation=open -moe-select-config="target=%{target} tokens=1 limit=1 fix=%{fix}"

// RUN: not %{select} 2>&1 | FileCheck %s --check-prefix=SM80
// SM80: error: moe-select-config: formulation one_launch is not legal: rule one_launch_target: kernels for sm_80 hold one product each
// REDEFINE: %{target} = gfx942
// RUN: not %{select} 2>&1 | FileCheck %s --check-prefix=GFX
// GFX: error: moe-select-config: formulation one_launch is not legal: rule one_launch_target: kernels for gfx942 hold one product each
// REDEFINE: %{target} = cpu
// RUN: not %{select} 2>&1 | FileCheck %s --check-prefix=CPU
// CPU: error: moe-select-config: formulation one_launch is not legal: rule one_launch_target: kernels for cpu hold one product each

// Where it can: slots are not sorted, rows are gathered, the last tile sums, both products have the same teams.
// REDEFINE: %{target} = sm_90a
// RUN: %{select} --remarks-filter-analyse=moe-select-config 2>&1 | FileCheck %s --check-prefix=ONE
// ONE: remark: [Analysis] formulation {{.*}}grouped: refused: another one is asked for; {{.*}}one_launch: {{[0-9.]+}} us, chosen
// ONE: moe.align {{.*}} form = direct
// ONE: formulation = one_launch config [#moe.config<block = [8, 64, 64], {{.*}}a = "gather", b = "desc"
// ONE: formulation = one_launch config [#moe.config<block = [8, {{.*}}a = "gather", b = "desc", {{.*}}reduce_by = "last"
// REDEFINE: %{fix} = formulation=one_launch,reduce_by=rows
// RUN: %{select} | FileCheck %s --check-prefix=ROWS --implicit-check-not=reduce_by
// ROWS: formulation = one_launch
// REDEFINE: %{fix} = formulation=one_launch,align=sorted
// RUN: not %{select} 2>&1 | FileCheck %s --check-prefix=SORTED
// SORTED: error: moe-select-config: formulation one_launch is not legal: rule one_launch_direct: tiles look up the experts of slots that nobody sorts: its form is sorted
// REDEFINE: %{fix} = formulation=one_launch,swap=false
// RUN: not %{select} 2>&1 | FileCheck %s --check-prefix=WIDE
// WIDE: error: moe-select-config: formulation one_launch is not legal: rule

// The same where the products ask for it themselves.
// RUN: moe-opt %s -moe-decompose-layer -moe-fuse-epilogue -moe-choose-formulation=formulation=grouped | sed 's/formulation = grouped/formulation = one_launch/' > %t.mlir
// RUN: not moe-opt %t.mlir -moe-select-config="target=cpu tokens=1" 2>&1 | FileCheck %s --check-prefix=CPU
// RUN: not moe-opt %t.mlir -moe-select-config="target=sm_80 tokens=1" 2>&1 | FileCheck %s --check-prefix=SM80
func.func @layer(%x: tensor<?x512xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
                 %w1: tensor<64x1024x512xbf16>, %w2: tensor<64x512x512xbf16>,
                 %out: tensor<?x512xbf16>) -> tensor<?x512xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x512xbf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<64x1024x512xbf16>) w2(%w2 : tensor<64x512x512xbf16>)
         activation <swiglu> gate_up <halves>
         outs(%out : tensor<?x512xbf16>) -> tensor<?x512xbf16>
  return %y : tensor<?x512xbf16>
}
