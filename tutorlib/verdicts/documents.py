"""The five documents: how many claims each makes, and those that no run of ours can judge, with the reason.

A claim is numbered by document and place: D3-08 is the eighth claim of the third. What is judged has its words in
:mod:`tutorlib.verdicts.claims`; a claim is in one of the two lists and never in both.
"""

from tutorlib.verdicts.claims import CLAIMS

DOCUMENTS = {
    "D0": ("gradient accumulation and generalization", 27),
    "D1": ("why batch size breaks training", 44),
    "D2": ("large batches and language models", 24),
    "D3": ("a beginner's page with memory and flags", 29),
    "D4": ("an accumulation table", 24),
}

EXAMPLE, ADVICE, PAPERS = "an example, not a claim", "advice, with nothing said that a run could refute", "about papers"
PARTS = "said of several claims at once, which are judged one by one"

# claim → in our words, and why no lesson has a run for it
NOT_JUDGED = {
    "D0-13": ("a recipe for pretraining may say: global batch 2,048", EXAMPLE),
    "D0-19": ("32 × 1: much noise, good generalization, fast training", f"{PARTS}: D0-22, D0-23 and D1-03"),
    "D0-27": ("the noise of small batches helps out of sharp minima, and so generalizes", f"{PARTS}: D1-07"),
    "D1-01": ("the batch is how much data one gradient is computed from", "a definition"),
    "D1-23": ("the cures for BatchNorm, in the order in which they are met", "an experience of the author"),
    "D2-13": ("more parameters see more context, and learn less by rote at a large batch", PAPERS),
    "D2-17": ("a paper on rethinking generalization shows that a large batch hurts", "about a paper: it does not"),
    "D2-18": ("BERT and GPT were trained with batches of thousands to tens of thousands", PAPERS),
    "D2-19": ("… and had to be deeper or wider for it", PAPERS),
    "D3-02": ("marking homework one by one, or a pile and then a lesson", "a picture, not a claim"),
    "D3-25": ("unstable training: raise the effective batch, to 2 × 5 × 16 = 160", "no lesson has a run for it yet"),
    "D3-28": ("four flags, and what each sets", "a list of names"),
    "D3-29": ("too small a batch: a wrong direction; too large a one: out of memory", f"{PARTS}: D3-03 and D4-08"),
}


def claims(document: str | None = None) -> list[str]:
    """The numbers of every claim, or of one document's, in the order in which they are made."""
    chosen = DOCUMENTS if document is None else (document,)
    return [f"{name}-{place:02d}" for name in chosen for place in range(1, DOCUMENTS[name][1] + 1)]


def gloss(claim: str) -> str:
    return CLAIMS[claim] if claim in CLAIMS else NOT_JUDGED[claim][0]
