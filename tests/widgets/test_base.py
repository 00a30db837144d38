"""What all viewers share, without a browser: a viewer of one number stands for all of them."""

import json
import queue
import threading

import numpy as np
import pytest
import traitlets

from sparseot_widgets import BaseViewer
from sparseot_widgets.controls import Choice, Slider

HANGS = 60  # seconds after which a test fails that waits for what does not come


class Square(BaseViewer):
    """Shows the square of a number; its answers can be held back, and it fails at 3.

    ``begins`` tells another thread which answer is being worked on.
    """

    module = "plan"
    number = traitlets.Float(2.0).tag(sync=True)
    sign = traitlets.Unicode("plus").tag(sync=True)
    phase = traitlets.Float(0.0).tag(sync=True)

    def __init__(self, **values):
        self.begun, self.ended, self.begins = [], [], queue.Queue()
        self.go = threading.Event()  # answers wait for it, sketches do not
        self.go.set()
        stops = (1.0, 2.0, 3.0, 4.0)
        controls = [
            Slider("number", "number", stops),
            Choice("sign", "sign", ("plus", "minus")),
            Slider("phase", "phase", (0.0, 1.0), local=True),
        ]
        super().__init__({"ones": np.ones(3)}, controls, **values)

    def answer(self, state, coarse, check):
        self.begun.append((state["number"], coarse))
        self.begins.put(self.begun[-1])
        if state["number"] == 3.0:
            raise ValueError("three is not to be squared <img src=x onerror=alert(1)>")
        while not (coarse or self.go.wait(0.005)):
            check()
        square = state["number"] ** 2 * (1 if state["sign"] == "plus" else -1)
        self.ended.append((state["number"], coarse))
        return {"square": np.array([square, 0.5]), "readout": [["square", str(square)]]}

    def poster_figure(self, figure):
        figure.subplots().plot(self.shown["square"])

    def begin(self, number, coarse):
        """Move the control, and wait until this sketch or answer is being worked on."""
        self.number = number
        while self.begins.get(timeout=HANGS) != (number, coarse):
            pass


# What a new viewer has answered: a sketch for nobody, which compiles what the first drag will run.
MADE = [(2.0, True), (2.0, False)]


def test_first_answer_is_there_before_anything_moves():
    viewer = Square()
    assert viewer.shown["square"][0] == 4.0 and viewer.begun == MADE


def test_moving_a_control_asks_for_a_sketch_then_for_the_answer():
    viewer = Square()
    viewer.number = 4.0
    assert viewer.wait()
    assert viewer.shown["square"][0] == 16.0 and not viewer.shown["coarse"]
    assert viewer.begun[len(MADE) :] == [(4.0, True), (4.0, False)]


def test_a_local_control_asks_for_nothing():
    viewer = Square()
    viewer.phase = 1.0
    assert viewer.wait() and viewer.begun == MADE


def test_the_latest_value_wins_and_numbers_only_grow():
    viewer = Square()
    viewer.go.clear()
    seen = []
    viewer.observe(lambda change: seen.append(change.new["number"]), names="_answer")
    for value in (1.0, 4.0, 1.0, 4.0):
        viewer.begin(value, coarse=False)
    viewer.go.set()
    assert viewer.wait()
    assert viewer.shown["square"][0] == 16.0 and seen == sorted(seen)
    assert viewer.ended.count((1.0, False)) == 0, "answers that nobody waits for are cut short"
    assert viewer.ended.count((1.0, True)) == 2, "sketches are not"
    assert viewer.ended.count((4.0, False)) == 1


def test_stop_keeps_the_sketch():
    viewer = Square()
    viewer.go.clear()
    viewer.begin(4.0, coarse=False)
    viewer._message(viewer, {"do": "stop"}, [])
    assert viewer.wait()
    assert viewer.shown["square"][0] == 16.0 and viewer.shown["coarse"]
    assert not viewer._status["busy"]


def test_an_error_is_shown_and_the_next_question_answered():
    viewer = Square()
    viewer.number = 3.0
    assert viewer.wait() and "three is not to be squared" in viewer._status["error"]
    assert viewer.shown["square"][0] == 4.0, "the last good answer stays"
    viewer.number = 1.0
    assert viewer.wait() and viewer.shown["square"][0] == 1.0 and not viewer._status.get("error")


def test_stop_during_a_sketch_leaves_nothing_busy():
    viewer = Square()
    true, go_on = viewer.answer, threading.Event()

    def held(state, coarse, check):
        found = true(state, coarse, check)
        assert go_on.wait(HANGS)
        return found

    viewer.answer = held
    viewer.begin(4.0, coarse=True)
    viewer._message(viewer, {"do": "stop"}, [])
    go_on.set()
    assert viewer.wait() and not viewer._status["busy"]
    assert viewer.ended == [*MADE, (4.0, True)], "the sketch is shown, the answer never begun"
    assert viewer.shown["square"][0] == 16.0 and viewer.shown["coarse"]


def test_where_a_sketch_fails_the_answer_may_not():
    viewer = Square()
    true = viewer.answer

    def answer(state, coarse, check):
        if coarse:
            raise ValueError("no sketch of this")
        return true(state, coarse, check)

    viewer.answer = answer
    viewer.number = 4.0
    assert viewer.wait() and viewer.shown["square"][0] == 16.0 and not viewer._status.get("error")


def test_an_observer_that_fails_ends_nothing():
    viewer = Square()

    def fails(change):
        raise OSError("disk full")

    viewer.observe(fails, names="_answer")
    viewer.number = 4.0
    assert viewer.wait() and "disk full" in viewer._status["error"]
    viewer.unobserve(fails, names="_answer")
    viewer.number = 1.0
    assert viewer.wait() and viewer.shown["square"][0] == 1.0


def test_a_page_leaves_the_live_viewer_as_it_was():
    viewer = Square(sign="minus")
    viewer.default_record = lambda: {"number": [1.0], "sign": ["plus"]}
    page = viewer.markup()
    assert '"sign":"plus"' in page and viewer.sign == "minus" and not viewer._recorded
    assert viewer._controls[0]["stops"] == [1.0, 2.0, 3.0, 4.0]


def test_record_answers_every_combination_that_is_asked_for():
    viewer = Square().record(number=[1.0, 4.0], sign=2)
    assert set(viewer._recorded) == {"0/0", "0/1", "1/0", "1/1"}
    kept = viewer._recorded["1/1"]["square"]
    number = kept["lo"] + kept["levels"][0] * (kept["hi"] - kept["lo"]) / 65535
    assert number == pytest.approx(-16.0)
    stops = {control["name"]: control["stops"] for control in viewer._controls}
    assert stops == {"number": [1.0, 4.0], "sign": ["plus", "minus"], "phase": [0.0, 1.0]}


def test_a_page_begins_where_the_viewer_stands():
    viewer = Square(number=2.2).record(number=2)
    assert viewer._controls[0]["stops"] == [2.2, 4.0]


def test_record_refuses_what_is_no_control():
    with pytest.raises(TypeError, match="record: got colour, wanted some of number, sign"):
        Square().record(colour=3)
    with pytest.raises(ValueError, match="sign: got 'maybe', wanted one of 'plus', 'minus'"):
        Square().record(sign=["maybe"])


def test_unknown_keywords_are_refused():
    with pytest.raises(TypeError, match="colour"):
        Square(colour="red")


def test_a_page_holds_no_foreign_html(tmp_path):
    viewer = Square(title="</script><script>alert(1)</script>").record(number=2)
    text = viewer.to_html(tmp_path / "page.html").read_text()
    assert "<script>alert" not in text
    state = text.split('type="application/json">')[1].split("</script>")[0]
    assert json.loads(state)["title"] == viewer.title


def test_poster(tmp_path):
    assert Square().poster(tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_a_heavy_page_is_announced():
    class Heavy(Square):
        module = "plan"

        def answer(self, state, coarse, check):
            return {"square": np.random.default_rng(0).random(600_000)}

    with pytest.warns(UserWarning, match="MB into the page; record fewer stops"):
        Heavy().markup()


def test_a_viewer_shown_twice_is_one_model():
    viewer = Square()
    bundles = [viewer._repr_mimebundle_() for _ in range(2)]
    ids = {b[0]["application/vnd.jupyter.widget-view+json"]["model_id"] for b in bundles}
    assert len(ids) == 1
