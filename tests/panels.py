"""What every panel's tests do: turn each control and look."""


def every_value(options: list) -> list:
    return options


def ends_and_middle(options: list) -> list:
    return [options[0], options[len(options) // 2], options[-1]]


def seen(panel, control, values: list) -> int:
    """How many different pictures and sentences the panel shows while the control takes the values; it is put back."""
    before, shown = control.value, set()
    for value in values:
        control.value = value
        if panel.picture.startswith(b"\x89PNG") and panel.sentence.value:
            shown.add((panel.picture, panel.sentence.value))
    control.value = before
    return len(shown)


def idle_controls(panel, choose=every_value) -> list[str]:
    """Controls that show the same thing at two of the chosen values, or nothing at one."""
    chosen = {c.description: (c, choose([value for _, value in c.options])) for c in panel.controls.values()}
    return [name for name, (control, values) in chosen.items() if seen(panel, control, values) < len(values)]
