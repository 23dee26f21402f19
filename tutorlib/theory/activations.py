"""Activation memory: what a transformer layer keeps from the forward pass for the backward pass, term by term."""

from tutorlib.errors import Refused

ATTENTION = ("math", "fused")


def layer_activations(
    examples: int,
    time: int,
    width: int,
    heads: int,
    attention: str = "math",
    checkpointing: bool = False,
    dropout: bool = True,
) -> dict[str, int]:
    """Bytes that one GPT layer keeps for its backward pass: s·b·h·(34 + 5·a·s/h), each term by name.

    s = ``time``, b = ``examples``, h = ``width``, a = ``heads``. The formula's own setting: two bytes a number, layer
    norm, a perceptron of width 4h with GELU, dropout in three places (one mask byte a number), and attention written
    out as matrix products and a softmax. Fused attention keeps one fp32 number a row in place of the s² terms;
    checkpointing the layer's input alone. What the formula leaves out: mean and deviation of the two norms.
    Source: Korthikanti et al. 2022, arXiv 2205.05198, section 4.1 and equations 1 and 2; Dao et al. 2022,
    arXiv 2205.14135, section 3.1, for the fused form.
    """
    if attention not in ATTENTION:
        raise Refused(f"attention is {attention!r}; allowed: {', '.join(ATTENTION)}")
    numbers, scores = time * examples * width, heads * time * time * examples
    if checkpointing:
        return {"input of the layer": 2 * numbers}
    terms = {
        "inputs of the two norms": 4 * numbers,
        "input of the three projections": 2 * numbers,
        "queries and keys": 4 * numbers,
        "values": 2 * numbers,
        "input of the output projection": 2 * numbers,
        "input of the perceptron": 2 * numbers,
        "input of the GELU": 8 * numbers,
        "output of the GELU": 8 * numbers,
    }
    if dropout:
        terms["masks of two dropouts"] = 2 * numbers
    if attention == "fused":
        return terms | {"log-sum-exp of the scores": 4 * heads * time * examples}
    terms["softmax"] = 2 * scores
    if dropout:  # without it, the softmax's output is what the values are multiplied by, and is kept once
        terms |= {"mask of the attention's dropout": scores, "softmax after dropout": 2 * scores}
    return terms


def loss_terms(examples: int, time: int, vocabulary: int, logit_bytes: int = 4) -> dict[str, int]:
    """Bytes that the output scores and their cross-entropy take while the loss's gradient is computed.

    The softmax is taken in fp32. Its result, the gradient of it and the gradient of the scores live together in the
    first moment of the backward pass; scores of two bytes are copied to fp32 on the way in, and their gradient back.
    """
    scores = examples * time * vocabulary
    return {
        "log-probabilities": 4 * scores,
        "gradient of the log-probabilities": 4 * scores,
        "gradient of the scores": 4 * scores,
    } | ({"gradient of the scores, cast": logit_bytes * scores} if logit_bytes < 4 else {})
