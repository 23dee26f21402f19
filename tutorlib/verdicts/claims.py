"""The claims, in our words: what is judged, whatever the verdict."""

CLAIMS = {
    "D0-04": "the update is θ − η g",
    "D0-05": "accumulation hands the optimizer the mean of the micro-batch gradients",
    "D0-06": "a bigger sample has less variance",
    "D0-07": "128 separate steps wander and may hop out of a small pit",
    "D0-08": "the accumulated update is one big stride",
    "D0-09": "the accumulated step heads straight for the goal",
    "D0-25": "micro-batch 1, accumulated 32 times, does not keep small-batch noise",
    "D1-06": "small batches are noisier, large ones quieter",
    "D1-09": "a large batch is close to the true average",
    "D1-14": "micro-batch 1 × 128 is as smooth as batch 128",
    "D3-03": "batch 1 moves in an unstable direction",
    "D3-04": "batch 3 gives a more accurate direction than batch 1",
}
