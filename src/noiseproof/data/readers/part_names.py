"""Names of parts: training, validation and test, in the spellings and languages that people use."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

__all__ = ["PARTS", "flag_part", "part_in", "part_of", "parts_of"]

PARTS = ("train", "validation", "test", "unlabelled")

_WORDS = {
    "train": """
        train training trn tr learn learning trainval trainings lernen entrainement apprentissage entrenamiento
        addestramento treino treinamento uczenie обучение обучающая тренировочная 训练 训练集 訓練 学習 학습 훈련
    """,
    "validation": """
        val valid validation validate validating dev development validierung validacion validazione validacao
        validatie walidacja валидация валидационная 验证 验证集 驗證 検証 검증
    """,
    "test": """
        test testing tst te eval evaluation evaluate holdout testen prueba pruebas prova teste тест тестовая
        测试 测试集 測試 テスト 테스트
    """,
    "unlabelled": "pred prediction predictions unlabeled unlabelled unassigned unsplit unsup unsupervised",
}  # fmt: skip
_AFFIXES = frozenset(
    {
        "set", "data", "dataset", "split", "images", "imgs", "image", "img", "seg", "folder", "pictures", "photos",
        "samples", "instances", "annotations", "labels", "metadata", "public", "private",
    }
)  # fmt: skip
_TRUTH = {**dict.fromkeys(("1", "1.0", "true", "yes", "t", "y"), True),
          **dict.fromkeys(("0", "0.0", "false", "no", "f", "n"), False)}  # fmt: skip


def part_of(name: str) -> str:
    """The part that a folder or a value of a split column names; empty if it names none.

    Example:
        >>> [part_of(name) for name in ("Training", "seg_train", "TEST_SET", "valid", "cat", "trainer")]
        ['train', 'train', 'test', 'validation', '', '']
    """
    words = _words(name)
    parts = [_PART[word] for word in words if word in _PART]
    rest = [word for word in words if word not in _PART and word not in _AFFIXES]
    if len(parts) == 1 and not rest:
        return parts[0]
    joined = "".join(words)  # trainset, testdata, hold-out
    for affix in ("", "set", "data", "images"):
        if joined.endswith(affix) and joined.removesuffix(affix) in _PART:
            return _PART[joined.removesuffix(affix)]
    return ""


def parts_of(names: Iterable[str]) -> dict[str, str]:
    """The part of each name that names one; words that the names of all parts share are no matter.

    Example:
        >>> parts_of(["ILSVRC_train", "ILSVRC_val", "docs"]), parts_of(["train", "cat"])
        ({'ILSVRC_train': 'train', 'ILSVRC_val': 'validation'}, {'train': 'train'})
    """
    names = list(names)
    plain = {name: part for name in names if (part := part_of(name))}
    if "train" in plain.values():
        return plain
    groups: dict[tuple[str, ...], dict[str, str]] = {}
    for name in names:
        words = _words(name)
        parts = [_PART[word] for word in words if word in _PART]
        if len(parts) == 1:
            groups.setdefault(tuple(word for word in words if word not in _PART), {})[name] = parts[0]
    whole = [group for group in groups.values() if "train" in group.values() and len(set(group.values())) > 1]
    return whole[0] if len(whole) == 1 else plain


def flag_part(name: str) -> str:
    """The part that a column of truth values marks: `is_test` marks the test part, `train` the training part.

    Example:
        >>> flag_part("is_train"), flag_part("IsTest"), flag_part("test")
        ('train', 'test', '')
    """
    words = _words(name)
    flags = {"is", "in", "flag"} & set(words)
    if words == ["train"]:
        return "train"
    return part_of(" ".join(word for word in words if word not in flags)) if flags else ""


def part_in(column: str, text: str) -> str:
    """The part that a value of a column names; empty if it names none.

    Example:
        >>> part_in("split", "Dev"), part_in("is_test", "0"), part_in("is_train", "False")
        ('validation', 'train', 'test')
    """
    marked = flag_part(column)
    if marked and text.strip().casefold() in _TRUTH:
        return marked if _TRUTH[text.strip().casefold()] else "test" if marked == "train" else "train"
    return part_of(text)


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.strip())
    return [word for word in re.split(r"[\W_\d]+", _plain(spaced)) if word]


def _plain(text: str) -> str:
    """Small letters without accents."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", "".join(each for each in apart if not unicodedata.combining(each)))


_PART = {_plain(word): part for part, words in _WORDS.items() for word in words.split()}
