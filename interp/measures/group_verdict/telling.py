"""What `group_verdict` shows and says of a run: the accounts over training, a table at the last step, findings."""

from __future__ import annotations

import xarray as xr

from interp.figures import Curves, Table
from interp.findings import Claim, Claims, Finding
from interp.measures.shared.earlier_verdicts import earlier_verdicts
from interp.summaries import listed

NAMES = {"cosets": "cosets", "representations": "representations", "memorisation": "memory"}
UNCLEAR, OF_THE_GROUP = "unclear", ("cosets", "representations")
BEFORE = {"cosets": "cosets", "representations": "representations", "memorisation": "memorising"}
OF_AN_ACCOUNT = {
    "account accuracy": "the share of all pairs answered right with {} in its place",
    "agreement": "the share of its divergence from answers all alike that {} accounts for",
}
"""What is asked of either account alike."""
NUMBERS = {
    "accuracy": "the share of all pairs that it answers right",
    "left accuracy": "the share of all pairs that it answers right without the representations",
    "beyond chance": "the share of neurons nearer to constant on cosets than their representations make them",
    "train accuracy": "the share of the training pairs that it answers right",
    "novel accuracy": "the share that it answers right of the pairs that a lookup table cannot know",
}
OF_MEMORY = ("train accuracy", "novel accuracy")
"""The numbers that are conditions of memory; by any other it is told from an account."""
BELOW = ("left accuracy", "novel accuracy")
"""The numbers that have to stay below their bar; a verdict that another excludes misses its number's bar too."""
AGREEMENT, EXPLAINED = "Agreement with the network, in its place", "Explained of the logits"


def figure(result: xr.Dataset) -> list[Curves | Table]:
    accounts = [str(account) for account in result.account.values]
    there = [account for account in accounts if result.accuracy.sel(account=account).notnull().any()]

    def curves(array: str) -> dict[str, xr.DataArray]:
        return {account: result[array].sel(account=account) for account in there}

    last = result.isel(step=-1)
    return [
        Curves(
            AGREEMENT, {name: one.clip(min=0) for name, one in curves("agreement").items()}, percent=True, width="half"
        ),
        Curves(
            EXPLAINED, {name: one.clip(min=0) for name, one in curves("explained").items()}, percent=True, width="half"
        ),
        Curves("Loss in the network's place", {"all": result.all_loss, **curves("loss")}, log=True, width="half"),
        Curves(
            "Accuracy in the network's place",
            {"all": result.all_accuracy, **curves("accuracy")},
            percent=True,
            width="half",
        ),
        Table(
            "In the network's place, at the last step",
            {
                "accuracy": last.accuracy,
                "loss [nats]": last.loss,
                "loss recovered": last.loss_recovered,
                "agreement": last.agreement,
                "explained of the logits": last.explained,
            },
            digits=4,
        ),
    ]


def summary(result: xr.Dataset) -> list[Finding]:
    claims = Claims(result, AGREEMENT)
    return [
        _ends_as(claims),
        *earlier_verdicts(claims, "Before, on the group, it was", BEFORE, rank=11),
        *_recovered(claims),
    ]


def _ends_as(claims: Claims) -> Finding:
    """Tell the verdict at the last step, and what decided it."""
    names = ("verdict", "margin", "decided_by", "decided_bar", "next_verdict", "all_accuracy")
    records = {name: claims.end(name) for name in names}
    if (value := claims.maybe("decided_value")) and value.step == records["verdict"].step:
        records["decided_value"] = value
    verdict, number = str(records["verdict"].value), str(records["decided_by"].value)
    other = str(records["next_verdict"].value)
    of = "the account" if verdict in OF_THE_GROUP and other == UNCLEAR else f"the account of {NAMES.get(other, '')}"
    words = NUMBERS.get(number) or OF_AN_ACCOUNT[number].format(of)
    asked = "less than" if number in BELOW else "at least"
    decided = f"{words} is {{decided_value:.2%}}, where {asked} {{decided_bar:.2%}} is asked (margin {{margin:2}})"
    if verdict == UNCLEAR:
        return Finding(f"{_unclear(claims, records)} {_nearest(records, decided)}", records, chapter="answer", rank=21)
    told = f"What decides: {decided}."
    if other in NAMES and number not in OF_MEMORY:
        told = f"What tells it from {NAMES[other]}: {decided}."
    if verdict == "memorisation":
        for name in ("train_accuracy", "novel_accuracy", "novel_examples", "chance"):
            if record := claims.maybe(name):
                records[name] = record
        known = "At the end it is memorising, and no account of the group holds"
        if "novel_accuracy" in records:
            known += (
                ": it answers {train_accuracy:.1%} of the training pairs right, and {novel_accuracy:.1%} of the "
                "{novel_examples:pair} that a lookup table cannot know, where chance is {chance:.1%}"
            )
        return Finding(f"{known}. {told}", records, chapter="answer", rank=21)
    records |= {name: claims.end(name, account=verdict) for name in ("accuracy", "agreement", "explained")}
    said = (
        f"At the end the account of {verdict} holds: in the network's place it answers {{accuracy:.1%}} of all pairs "
        "right, accounts for {agreement:.2%} of its divergence from answers all alike, and explains {explained:.1%} of "
        f"the logits. {told}"
    )
    return Finding(said, records, chapter="answer", rank=21)


def _unclear(claims: Claims, records: dict[str, Claim]) -> str:
    """What is not so of a network without a verdict: memory only where the pairs that tell it are known."""
    end = records["verdict"].step
    known = [claims.maybe(name) for name in ("train_accuracy", "novel_accuracy")]
    memory = "whether it is memorising nobody can tell"
    if all(record is not None and record.step == end for record in known):
        memory = "it is not memorising"
    return (
        "At the end neither account of it on the group holds, of representations or of cosets, and "
        f"{memory}: it answers {{all_accuracy:.1%}} of all pairs right."
    )


def _nearest(records: dict[str, Claim], decided: str) -> str:
    """The verdict that is missed by least; none of those that are missed by all there is."""
    if float(records["margin"].value) >= 1:
        return "No verdict comes near (margin {margin:2})."
    return f"Nearest comes {NAMES[str(records['next_verdict'].value)]}, but {decided}."


def _recovered(claims: Claims) -> list[Finding]:
    """Put the accounts beside one another at the last step."""
    records, told = {}, []
    for account in claims.result.account.values.tolist():
        shares = {name: claims.maybe(name, account=account) for name in ("explained", "loss")}
        if None in shares.values():
            continue
        key = account.replace(" ", "_")
        records |= {f"{key}_{name}": record for name, record in shares.items() if record}
        told.append(f"{account} explain {{{key}_explained:.1%}} and have the loss {{{key}_loss:3}}")
    if len(told) < 2:
        return []
    records["all_loss"] = claims.end("all_loss")
    sentence = f"Of its logits, in the network's place, {listed(told)}; its own is {{all_loss:3}}."
    return [Finding(sentence, records, chapter="how", rank=31)]
