"""The cases: which trainer is compared with which baseline, with which flags."""

import dataclasses

FULL, SMOKE = "full", "smoke"


def flags(text):
    return tuple(text.split())


@dataclasses.dataclass(frozen=True)
class Guess:
    """First estimate of seconds on two cores: for the start, and per MB of text and epoch."""

    start: float
    train: float
    predict: float


@dataclasses.dataclass(frozen=True)
class Variant:
    """The trainer with flags that no baseline has an equivalent of."""

    name: str
    flags: tuple = ()
    beside: bool = False  # beside the case's flags, not in place of them
    data: str | None = None  # None: every data set
    predicts: bool = True


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    trainer: str  # the crate and its binary
    title: str
    baseline: str  # in words
    script: str  # below bench/baselines
    requirements: str
    both: tuple  # flags of both sides
    ours: tuple = ()
    theirs: tuple = ()
    ours_on_gpu: tuple = ()
    tests: bool = False  # ours is given TEST_ROWS rows to score
    pairs: int | None = None  # at most so many
    on_gpu: bool = False
    epochs: tuple = ()  # ((data set or "", epochs), ...), none: the trainer has its own
    cap: int | None = None  # bytes of a row that are looked at, about
    guess: tuple = ()  # ours, baseline
    limit: int | None = None  # rows to train on where a CPU would take hours, unless --whole
    test_limit: int | None = None
    growth: tuple = (1_000, 5_000, 25_000)
    synthetic: int | None = None
    lengths: tuple = ()
    official: tuple = ()  # names in images-<date>.json, if it knows them: on a CPU, on a GPU
    variants: tuple = ()
    # Of --smoke.
    smoke_rows: int = 480
    smoke_both: tuple = ()

    def epochs_of(self, data, kind):
        if not self.epochs:
            return None
        return 1 if kind == SMOKE else dict(self.epochs).get(data, dict(self.epochs)[""])


# Trainers score rows after training, without test rows all training rows; baselines do not. So the
# slow trainers are given a few test rows.
TEST_ROWS = 16
PLAIN = flags("--validation-split 0 --no-report")
SKLEARN = {
    "script": "sklearn_svm.py",
    "requirements": "bench/requirements.txt",
    "official": ("scikit-learn", "scikit-learn"),
}
TORCH = {"requirements": "tests/torch-requirements.txt", "on_gpu": True}

CASES = [
    # The reference: TfidfVectorizer(min_df=5, stop_words="english"), SGDClassifier(alpha=1e-4).
    Case(
        "svm-sgd",
        "svm",
        "svm, unigrams, hinge",
        "scikit-learn SGDClassifier",
        **SKLEARN,
        both=flags("--min-df 5 --stopwords english --max-ngrams 1 --loss hinge --alpha 1e-4"),
        ours=PLAIN,
        guess=(Guess(0.01, 0.005, 0.003), Guess(1.5, 0.1, 0.1)),
        synthetic=1_000_000,
        variants=(
            Variant(
                "5 % malformed rows, dropped",
                ("--drop-malformed",),
                beside=True,
                data="malformed",
                predicts=False,
            ),
        ),
    ),
    Case(
        "svm-linearsvc",
        "svm",
        "svm, (1,2)-grams, squared hinge",
        "scikit-learn LinearSVC",
        **SKLEARN,
        both=flags("--min-df 2 --stopwords none --max-ngrams 2 --loss squared_hinge --c 1"),
        ours=PLAIN,
        theirs=("--classifier", "linear-svc"),
        guess=(Guess(0.01, 0.01, 0.005), Guess(1.5, 0.4, 0.2)),
        variants=(
            Variant("default flags: split, calibration, report"),
            Variant("--tune", ("--tune",)),
        ),
    ),
    Case(
        "nb",
        "nb",
        "nb, (1,2)-grams",
        "scikit-learn MultinomialNB",
        **SKLEARN,
        both=flags("--min-df 2 --stopwords none --max-ngrams 2 --alpha 1"),
        ours=PLAIN,
        theirs=("--classifier", "multinomial-nb"),
        guess=(Guess(0.01, 0.01, 0.005), Guess(1.5, 0.3, 0.2)),
        variants=(Variant("default flags: split, calibration, report"),),
    ),
    Case(
        "bag",
        "bag",
        "bag, (1,2)-grams",
        "fastText",
        script="fasttext_bigrams.py",
        requirements="bench/fasttext-requirements.txt",
        both=(),
        ours=PLAIN,
        guess=(Guess(0.3, 0.07, 0.05), Guess(0.5, 0.35, 0.1)),
        official=("fasttext", "fasttext"),
        variants=(Variant("default flags: split, calibration, report"),),
    ),
    # The same network and optimizer, with PyTorch's defaults: constant learning rate, no clipping.
    Case(
        "bilstm",
        "bilstm",
        "bilstm",
        "PyTorch",
        script="torch_bilstm_model.py",
        **TORCH,
        both=flags(
            "--vocab-size 20000 --seq-len 400 --emb-size 100 --hidden-size 100 --num-layers 1 "
            "--batch-size 32 --learning-rate 2e-3 --dropout 0.5"
        ),
        ours=PLAIN + flags("--pooling max --schedule constant --clip-norm 0 --patience 0"),
        epochs=(("imdb", 3), ("", 5)),
        cap=2_200,
        guess=(Guess(0.5, 4, 1.5), Guess(4, 80, 6)),
        limit=2_000,
        test_limit=2_000,
        official=("pytorch-cpu", "pytorch-gpu"),
        tests=True,
        ours_on_gpu=("--precision", "full"),  # the baseline's
        smoke_rows=96,
        smoke_both=("--seq-len", "50", "--hidden-size", "16"),
    ),
    Case(
        "transformer",
        "transformer",
        "transformer, MiniLM",
        "transformers",
        script="transformers_finetune.py",
        **TORCH,
        both=flags(
            "--max-len 256 --batch-size 16 --learning-rate 5e-5 --warm-up 0.1 "
            "--weight-decay 0.01 --clip-norm 1"
        ),
        ours=PLAIN,
        epochs=(("", 1),),
        cap=1_280,
        guess=(Guess(1, 75, 25), Guess(10, 100, 35)),
        limit=2_000,
        test_limit=1_000,
        tests=True,
        pairs=1,
        lengths=(32, 64, 128, 256, 512),
        official=("pytorch-cpu", "huggingface-gpu"),
        smoke_rows=32,
        smoke_both=("--max-len", "32"),
    ),
]
BY_NAME = {case.name: case for case in CASES}
TRAINERS = sorted({case.trainer for case in CASES})
# Tokens of an epoch at each sequence length. The difference between two epochs and one has no
# start-up time.
LENGTH_TOKENS = {FULL: 4_096, SMOKE: 256}
SMOKE_LENGTHS = (32,)
SMOKE_SYNTHETIC = 1_000
