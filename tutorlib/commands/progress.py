"""``python -m tutorlib progress``: how far you are, and your predictions beside what your own runs measured."""

import json

from tutorlib import progress


def add(commands) -> None:
    parser = commands.add_parser("progress", help="which predictions and exercises are done, and how you predicted")
    parser.add_argument("--json", action="store_true", help="the same facts as JSON in place of a table")
    parser.set_defaults(run=lambda chosen: show(chosen.json))


def show(as_json: bool = False) -> None:
    from tutorlib.widgets.progress import SIGNS, bets, places, sentence, tallies

    if as_json:
        lessons = {p.number: {"state": p.state, "predictions": p.predicted, "exercises": p.solved} for p in places()}
        made = [
            {"lesson": b.lesson, "question": b.made.name, **b.made.told, "measured": b.measured, "word": b.word}
            for b in bets()
        ]
        print(json.dumps({"lessons": lessons, "predictions": made}, ensure_ascii=False, indent=1))
        return
    for place in places():
        predicted, solved = tallies(place)
        name = f"{SIGNS[place.state]} {place.number} {place.lesson.title}"
        print(f"{name:<30} {predicted} predictions locked, {solved} exercises solved")
    made = bets()
    for bet in made:
        print(f"\n{bet.lesson}  {bet.made.name}\n    {bet.range}; measured: {bet.shown or '–'} {bet.word}")
    print(f"\n{sentence(made)}\nKept in {progress.path()}")
