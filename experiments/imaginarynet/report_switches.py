"""Where this re-implementation can do as the published code does: switches, with their reasons.

Loads with the settings alone. The README's table and the report's are held to this one by tests.
"""

from __future__ import annotations

from typing import Any

from suite.report.switches import Switch, Turned, turned_of

SWITCHES = (
    Switch("num_total", None, "`--num` is a number per class, whatever the published README says"),
    Switch("prompts.require_class", False, "a text may lose its class name"),
    Switch("images.samples_per_prompt", 1, "published: as many pictures per prompt as there are devices"),
    Switch("dalle_mini.condition_scale", 10.0, "what the large model was used with"),
    Switch("dalle_mini.top_k", 50, "`None` in the published code means this default of its library"),
    Switch("dalle_mini.dtype", "float16", "of the large model's weights and of its arithmetic"),
    Switch("diffusion.scheduler", "pndm_plms", "PLMS; the others need fewer steps"),
    Switch("diffusion.safety", "off", "the checker is downloaded and never called"),
    Switch("clip.scale", 100.0, "of the cosine; fixed, not the one that was learned"),
    Switch("filter.policy", "top1", "the highest probability is that of the label, and above the threshold"),
    Switch("replace.rounds", 1, "what the filter rejects is not replaced: classes differ in size"),
    Switch("proposals.grid", 0, "a picture in which the search finds nothing is left out"),
    Switch("oicr.refine_start", 0, "refinement begins with the first update, on labels that mean little yet"),
    Switch("evaluate.max_per_class", 0, "pcl.pytorch keeps all; OICR's Caffe code 40 times the pictures"),
    Switch("unbiased_teacher.use_image_labels", False, "the class of an imaginary picture is not used"),
    Switch("w2n.use_image_labels", False, "the published code computes this filter and drops its result"),
    Switch("w2n.threshold", None, "ours; which boxes become labels is not published"),
    Switch("w2n.parts", False, "ours, for a regularisation whose formula is not published"),
    Switch("w2n.per_class", False, "ours; whether the paper ranks within classes is not published"),
    Switch("w2n.ignore_unclean", False, "ours; else instances that are not trusted count as background"),
)


def turned(config: Any) -> list[Turned]:
    """The switches of a run that do not do as published, in the order of SWITCHES."""
    return turned_of(config, ((switch.key, switch) for switch in SWITCHES))
