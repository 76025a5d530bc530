"""The benchmarks as LightEval tasks: prompts, golds and metrics of Open-R1's evaluation.

    python lighteval_tasks.py                                   # prints the tasks' names
    lighteval vllm MODEL 'r1lab_aime24|0' --custom-tasks r1lab/evaluation/inside/lighteval_tasks.py

A task's name begins with ``r1lab_``: LightEval refuses a custom task that is called as one of its
own. The file stands alone, since LightEval loads it by path.

What is scored is each single answer, and a task's score is the mean over all of them. LightEval's
own ``avg@n`` scores reasoning together with the answer, and its ``pass@k`` keeps no single scores.
"""

# No "from __future__ import annotations": LightEval loads the file without a place in sys.modules,
# where dataclasses would look for what a quoted annotation means (and pickle for a class).
import gc
import hashlib
import multiprocessing
import os
import re
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy
from lighteval.metrics.dynamic_metrics import MultilingualExtractiveMatchMetric
from lighteval.metrics.metrics_sample import SampleLevelComputation, SamplingMetric
from lighteval.metrics.utils.extractive_match_utils import (
    ExprExtractionConfig,
    IndicesExtractionConfig,
    LatexExtractionConfig,
)
from lighteval.metrics.utils.metric_utils import SampleLevelMetric
from lighteval.models.model_output import ModelResponse
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.requests import Doc, SamplingMethod
from lighteval.utils.language import Language

PREFIX = "r1lab_"
METRIC = "extractive_match"
#: Tokens that a reasoning model may take, as in the DeepSeek-R1 report.
GENERATION_SIZE = 32768
#: Seconds after which an answer is given up: some expressions take for ever in one call into C,
#: where LightEval's own alarm does not reach.
DEADLINE = 120.0


@dataclass
class Problem:
    """Makes LightEval's document of a row: a question with one gold answer.

    ``template`` has ``{problem}``; ``question``, ``gold`` and ``identity`` name columns.
    """

    question: str
    gold: str
    read_gold: Callable[[Any], str] = str
    template: str = "{problem}"
    identity: str = "id"

    @property
    def columns(self) -> tuple[str, ...]:
        """What a row must have."""
        return (self.question, self.gold)

    def __call__(self, line: dict[str, Any], task_name: str | None = None) -> Doc:
        values = {"problem": line[self.question]}
        query = fill(self.template, values)
        gold = self.read_gold(line[self.gold])
        return _document(query, [gold], 0, line, self.identity, task_name)


@dataclass
class MultipleChoice:
    """GPQA: the right answer stands at a place that question and ``choice_seed`` determine alone.

    LightEval's own task takes the place from the global random state: another order of tasks, or
    another limit, and the same question has another right letter.
    """

    template: str
    choice_seed: int = 0
    identity: str = "Record ID"

    wrong = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")

    @property
    def columns(self) -> tuple[str, ...]:
        """What a row must have."""
        return ("Question", "Correct Answer", *self.wrong)

    def __call__(self, line: dict[str, Any], task_name: str | None = None) -> Doc:
        question = line["Question"].strip()
        drawn = hashlib.sha256(f"{self.choice_seed}\n{question}".encode()).digest()
        place = int.from_bytes(drawn[:8], "big") % 4
        choices = [line[column].strip() for column in self.wrong]
        choices.insert(place, line["Correct Answer"].strip())
        values = {"problem": question, **dict(zip("ABCD", choices, strict=True))}
        query = fill(self.template, values)
        return _document(query, list("ABCD"), place, line, self.identity, task_name)


def fill(template: str, values: dict[str, str]) -> str:
    """``template`` with each ``{name}`` replaced; other braces, as in ``\\boxed{}``, stay."""
    names = "|".join(map(re.escape, values))
    return re.sub(rf"\{{({names})\}}", lambda found: values[found[1]], template)


def _document(
    query: str,
    choices: list[str],
    gold: int,
    line: dict[str, Any],
    identity: str,
    task_name: str | None,
) -> Doc:
    known = line.get(identity)
    question_id = (
        str(known) if known not in (None, "") else hashlib.sha256(query.encode()).hexdigest()[:16]
    )
    return Doc(
        query=query,
        choices=choices,
        gold_index=gold,
        task_name=task_name or "",
        specific={"question_id": question_id},
    )


def after_hashes(answer: str) -> str:
    """GSM8K's gold: what stands behind ``####``, without the commas of thousands."""
    return answer.rpartition("####")[2].strip().replace(",", "")


def as_latex(answer: str | Sequence[str]) -> str:
    """Golds of plain mathematics between dollars, where LightEval's parser looks for them."""
    parts = [answer] if isinstance(answer, str) else answer
    return ", ".join(part if "$" in part or "\\boxed" in part else f"${part}$" for part in parts)


#: The three of Open-R1: golds that are LaTeX, plain expressions, and letters of choices.
LATEX_GOLD: dict[str, Any] = {
    "language": Language.ENGLISH,
    "fallback_mode": "first_match",
    "precision": 5,
    "gold_extraction_target": (LatexExtractionConfig(),),
    # what is boxed comes before all else
    "pred_extraction_target": (
        ExprExtractionConfig(),
        LatexExtractionConfig(boxed_match_priority=0),
    ),
    "aggregation_function": max,
}
EXPR_GOLD: dict[str, Any] = LATEX_GOLD | {"gold_extraction_target": (ExprExtractionConfig(),)}
LETTERS: dict[str, Any] = {
    "language": Language.ENGLISH,
    "precision": 5,
    "gold_extraction_target": [IndicesExtractionConfig(prefix_for_extraction="NativeLetters")],
    "pred_extraction_target": [IndicesExtractionConfig(prefix_for_extraction="NativeLetters")],
}


@dataclass(frozen=True)
class Mark:
    """LightEval's verdict on one answer.

    ``extracted`` is what it read there, None for nothing. ``problem`` says why there is no verdict
    (the answer then counts as wrong). ``gold_read`` is False where the gold could not be parsed.
    """

    score: float
    extracted: str | None = None
    gold_read: bool = True
    problem: str | None = None


def mark(match: MultilingualExtractiveMatchMetric, doc: Doc, text: str) -> Mark:
    """One answer in LightEval's metric."""
    # Of its own: the metric writes what it read into the document.
    single = Doc(query=doc.query, choices=doc.choices, gold_index=doc.gold_index)
    try:
        score = float(match.compute(doc=single, model_response=ModelResponse(text=[text])))
    except Exception:  # sympy fails in many ways, and a night's answers must not be lost to one
        return Mark(0.0, problem=traceback.format_exc(limit=-3))
    read = (single.specific or {}).get("extracted_predictions") or [None]
    golds = (single.specific or {}).get("extracted_golds")
    # A parsed gold comes with its text, an unparsed one alone.
    return Mark(score, read[0], golds is None or len(golds) > len(single.get_golds()))


class EachAnswer(SamplingMetric, SampleLevelComputation):
    """The mean of an extractive match over ``n`` answers a question, with every single score kept.

    Reasoning between ``<think>`` tags is not scored (LightEval strips it). The scores are left in
    ``doc.specific``: ``strict``, ``extracted``, ``gold_read`` and ``problems``, each of n.
    """

    def __init__(self, n: int, processes: int | None = None, **match: Any):
        super().__init__(sample_scoring_function=MultilingualExtractiveMatchMetric(**match))
        self.match = match
        self.n = n
        self.processes = processes or len(os.sched_getaffinity(0))
        self.on_progress: Callable[[int, int], None] | None = None
        self.seconds = 0.0

    def num_samples(self) -> int:
        """Answers that LightEval asks of the model."""
        return self.n

    def compute(self, responses: list[ModelResponse], docs: list[Doc]) -> list[float]:
        """The mean score of each document."""
        answers = [
            (doc, text) for doc, r in zip(docs, responses, strict=True) for text in r.final_text
        ]
        began = time.monotonic()
        marks = iter(self._marks(answers))
        self.seconds += time.monotonic() - began
        means = []
        for doc, response in zip(docs, responses, strict=True):
            own = [next(marks) for _ in response.final_text]
            doc.specific = (doc.specific or {}) | {
                "strict": [each.score for each in own],
                "extracted": [each.extracted for each in own],
                "gold_read": [each.gold_read for each in own],
                "problems": [each.problem for each in own],
            }
            means.append(float(numpy.mean([each.score for each in own])))
        return means

    def _marks(self, answers: list[tuple[Doc, str]]) -> list[Mark]:
        """A mark for each answer; the same answer to the same question is read once."""
        keys = [(tuple(doc.choices), doc.gold_index, text) for doc, text in answers]
        counts = Counter(keys)
        once = dict(zip(keys, answers, strict=True))
        order, found, done = list(once), {}, 0
        for index, verdict in marked_by_processes(self.match, list(once.values()), self.processes):
            found[order[index]] = verdict
            done += counts[order[index]]
            if self.on_progress:
                self.on_progress(done, len(answers))
        return [found[key] for key in keys]


def marked_by_processes(
    match: dict[str, Any], answers: list[tuple[Doc, str]], processes: int
) -> Iterator[tuple[int, Mark]]:
    """Marks in the order in which they come; a process that takes too long over one is killed."""
    waiting = deque(range(len(answers)))
    left = len(answers)
    markers: dict[Connection, Marker] = {}
    gc.freeze()  # the processes need not go through all that torch and LightEval brought
    try:
        while left:
            while waiting and len(markers) < processes:
                marker = Marker(match, answers)
                markers[marker.line] = marker
                marker.give(waiting.popleft())
            for line in wait(list(markers), timeout=1.0):
                marker = markers[line]  # type: ignore[index]
                index, verdict = marker.take()
                left -= 1
                if marker.dead:
                    markers.pop(marker.line).end()
                elif waiting:
                    marker.give(waiting.popleft())
                yield index, verdict
            for marker in [each for each in markers.values() if each.overdue]:
                markers.pop(marker.line).end()
                left -= 1
                yield marker.index, Mark(0.0, problem=f"no verdict within {DEADLINE:g} s")
    finally:
        gc.unfreeze()
        for marker in markers.values():
            marker.end()


class Marker:
    """A forked process that marks one answer after another; it knows the answers, by fork."""

    def __init__(self, match: dict[str, Any], answers: list[tuple[Doc, str]]):
        context = multiprocessing.get_context("fork")
        self.line, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, match, answers), daemon=True)
        self._process.start()
        theirs.close()
        self.index, self._since, self.dead = -1, float("inf"), False

    @property
    def overdue(self) -> bool:
        """Whether the answer in hand has taken longer than any may."""
        return self.index >= 0 and time.monotonic() - self._since > DEADLINE

    def give(self, index: int) -> None:
        """Send the next answer's place."""
        self.index, self._since = index, time.monotonic()
        self.line.send(index)

    def take(self) -> tuple[int, Mark]:
        """The mark of the answer in hand; a process that died over it could not read it."""
        index, self.index = self.index, -1
        try:
            return index, Mark(*self.line.recv())
        except (EOFError, ConnectionResetError):
            self.dead = True
            return index, Mark(0.0, problem="the process that read the answer died")

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.join()
        self.line.close()


def _serve(line: Connection, match: dict[str, Any], answers: list[tuple[Doc, str]]) -> None:
    metric = MultilingualExtractiveMatchMetric(**match)
    parent = os.getppid()
    while True:
        while not line.poll(1.0):
            # Its end of the pipe was inherited by the processes forked since: no end of file comes.
            if os.getppid() != parent:
                return
        line.send(astuple(mark(metric, *answers[line.recv()])))


# The wording of OpenAI's simple-evals, which published GPQA scores are made with.
GPQA_TEMPLATE = """\
Answer the following multiple choice question. The last line of your response should be of the \
following format: 'Answer: $LETTER' (without quotes) where LETTER is one of ABCD. Think step by \
step before answering.

{problem}

A) {A}
B) {B}
C) {C}
D) {D}"""
#: The instruction that DeepSeek-R1's authors advise for mathematics.
BOXED = "{problem}\n\nPlease reason step by step, and put your final answer within \\boxed{}."


def task(
    name: str,
    prompt: Problem | MultipleChoice,
    match: dict[str, Any],
    repo: str,
    split: str,
    samples: int,
    subset: str = "default",
) -> LightevalTaskConfig:
    """A benchmark without examples in its prompt; ``samples`` are the answers a question."""
    metric = SampleLevelMetric(
        metric_name=METRIC,
        higher_is_better=True,
        category=SamplingMethod.GENERATIVE,
        sample_level_fn=EachAnswer(samples, **match),
        corpus_level_fn=numpy.mean,
        batched_compute=True,
    )
    return LightevalTaskConfig(
        name=PREFIX + name,
        prompt_function=prompt,
        hf_repo=repo,
        hf_subset=subset,
        hf_avail_splits=[split],
        evaluation_splits=[split],
        generation_size=GENERATION_SIZE,
        metrics=[metric],
        stop_sequence=[],  # the end token alone
        version=1,
    )


AIME = Problem("problem", "answer")
GPQA = MultipleChoice(GPQA_TEMPLATE)
MATH_500 = Problem("problem", "solution", identity="unique_id")
GSM8K = Problem("question", "answer", after_hashes, BOXED)
AMC = Problem("question", "answer", template=BOXED)
OLYMPIAD = Problem("question", "final_answer", as_latex, BOXED)
MINERVA = Problem("question", "answer", as_latex, BOXED)
AIME25_2 = Problem("question", "answer")

# Answers a question as Open-R1 reports AIME, MATH-500 and GPQA. Live code benchmark is not here:
# LightEval would run its programs without a sandbox.
TASKS_TABLE = [
    task("aime24", AIME, EXPR_GOLD, "HuggingFaceH4/aime_2024", "train", 64),
    task("aime25_part1", AIME, EXPR_GOLD, "open-r1/aime_2025_1", "train", 64),
    task("aime25_part2", AIME25_2, EXPR_GOLD, "opencompass/AIME2025", "test", 64, "AIME2025-II"),
    task("math_500", MATH_500, LATEX_GOLD, "HuggingFaceH4/MATH-500", "test", 4),
    task("gpqa_diamond", GPQA, LETTERS, "Idavidrein/gpqa", "train", 8, "gpqa_diamond"),
    task("gsm8k", GSM8K, EXPR_GOLD, "openai/gsm8k", "test", 1, "main"),
    task("amc23", AMC, EXPR_GOLD, "math-ai/amc23", "test", 16),
    task("olympiadbench", OLYMPIAD, LATEX_GOLD, "math-ai/olympiadbench", "test", 4),
    task("minerva_math", MINERVA, LATEX_GOLD, "math-ai/minervamath", "test", 4),
]

if __name__ == "__main__":
    print("\n".join(config.name for config in TASKS_TABLE))
