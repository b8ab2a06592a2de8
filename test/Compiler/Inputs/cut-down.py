"""Makes small layers of the same structure from config.json files.

usage: cut-down.py CONFIG.json ... DIRECTORY

Writes each file to DIRECTORY with few experts and small sizes; what makes its
family (activation, biases, shared experts, groups, quantisation) stays.
"""

import json
import os
import sys

HIDDEN, INTERMEDIATE, SHARED, EXPERTS = 256, 128, 384, 8

for path in sys.argv[1:-1]:
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    text = config.get("text_config", config)
    text["hidden_size"] = HIDDEN
    for key in ("num_local_experts", "num_experts", "n_routed_experts"):
        if key in text:
            text[key] = EXPERTS
    if "moe_intermediate_size" in text:
        text["moe_intermediate_size"] = INTERMEDIATE
    else:
        text["intermediate_size"] = INTERMEDIATE
    # A shared expert of another width than the routed ones.
    if "shared_expert_intermediate_size" in text:
        text["shared_expert_intermediate_size"] = SHARED
    for key in ("num_experts_per_tok", "experts_per_token"):
        if key in text:
            text[key] = min(text[key], 4)
    if text.get("n_group", 1) > 1:
        text["n_group"], text["topk_group"] = 4, 2
    with open(os.path.join(sys.argv[-1], os.path.basename(path)), "w", encoding="utf-8") as file:
        json.dump(config, file)
