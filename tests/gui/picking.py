"""Open interactive runs and their pickers, and click in them."""


def dialog_of(robot, protocol, **values):
    """Save an interactive run and open its tomograms."""
    form = robot.window.new_form(protocol)
    form.model.put("tomograms", next(o.target for r in robot.window.runs.values() if r.label == "simulate"
                                     for o in r.outputs if o.name == "tomograms"))  # fmt: skip
    for name, text in values.items():
        form.model.put(name, text)
    return begin_picking(robot, form)


def begin_picking(robot, form):
    """Save the run of a form and open the list of what is picked on."""
    robot.pump(0.1)
    form.pick()
    assert robot.pump(until=lambda: robot.window.picking_dialogs, timeout=15), form.w["message"].cget("text")
    dialog = list(robot.window.picking_dialogs.values())[-1]
    robot.pump(0.4)
    return dialog


def picker_of(robot, dialog, name):
    dialog.open(name)
    assert robot.pump(until=lambda: name in dialog.pickers, timeout=15), dialog.state_.cget("text")
    picker = dialog.pickers[name]
    picker.show_planes(0)
    picker.geometry("+60+40")
    robot.pump(0.9)
    robot.xdotool("mousemove", *robot.at(picker.panels[0].canvas))
    return picker


def screen(picker, z, y, x):
    """Return the place on the screen of a voxel on the XY slice."""
    panel = picker.panels[0]
    sx, sy = panel.screen_of((z, y, x))
    return panel.canvas.winfo_rootx() + int(round(sx)), panel.canvas.winfo_rooty() + int(round(sy))


def turn_wheel(robot, times, button=4):
    """Turn the wheel where the mouse is, without moving it."""
    robot.xdotool("click", "--repeat", times, "--delay", 30, button)
