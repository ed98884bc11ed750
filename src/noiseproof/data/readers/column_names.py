"""Names that people give to columns, by the role that they suggest."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["role_of_name"]

_NAMES = {
    "label": """
        label labels class classes target targets category given given_label label_name class_name
        class_label         classname labelname class_id label_id etiquette klasse etikett clase etiqueta
        classe categoria kategorie ground_truth groundtruth gold gold_label true_class klasa kategoria categorie
        标签 类别 类 标注 ラベル クラス 분류 라벨 метка класс категория
    """,
    "weak label": """
        y species type kind breed variety sentiment intent topic diagnosis outcome cultivar genus family
        emotion         grade rating quality disease condition status result response answer decision
        verdict tag group polarity language         genre subject stance toxicity spam digit survived
        fraud churn attrition stars star_rating overall category_label
    """,
    "clean": "clean clean_label true_label y_true",
    "split": "split subset partition set fold_name ml_use data_split dataset_split usage",
    "fold": "fold folds kfold cv_fold",
    "path": """
        path paths file files filename file_name filepath file_path image images image_path imagepath
        image_file         image_name img img_path img_name picture photo image_id img_id image_filename
        image_url file_location bild datei fichier archivo imagen immagine bilddatei 图片 图像 文件名 画像 файл
    """,
    "text": """
        text texts sentence review body content comment message document tweet utterance question query
        abstract title headline description email sms post transcript statement paragraph
        texte texto testo tekst kommentar nachricht commentaire comentario avis 文本 内容 评论 本文 текст отзыв 텍스트
    """,
    "annotator": """
        annotator annotators annotator_id worker worker_id workerid rater rater_id coder user user_id
        completed_by annotator_name
    """,
    "id": """
        id ids index idx uuid guid row row_id rowid row_number record record_id sample_id item_id task
        task_id unnamed:_0         level_0 key pk nr no number hash _id _server_id _input_hash _task_hash
        inner_id example_id uid identifier sample observation obs serial serial_number
        __index_level_0__ case_number rownames hitid assignmentid qid identifiant numero nummer 编号 序号 番号 номер
    """,
    "leftover": "flipped sample_weight",
}
_TASK = re.compile(r"(input|output|golden|hint|assignment|answer)[:.](?=\w)", re.IGNORECASE)  # Toloka, Mechanical Turk
_NESTED = {"label": "weak label", "text": "text", "path": "path"}  # roles of the last name of `data.text`


def role_of_name(name: str) -> str:
    """The role that a column's name suggests; empty if it suggests none.

    Example:
        >>> role_of_name("Label"), role_of_name("image id"), role_of_name("petal width")
        ('label', 'path', '')
    """
    name = _TASK.sub("", name.strip())
    plain = _unaccented(re.sub(r"[ .-]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip())).casefold())
    if plain == "":
        return "id"
    role = _ROLE.get(plain) or _ROLE.get(plain.replace("_", "")) or ("id" if plain.endswith(("_id", "_uuid")) else "")
    return role or (_NESTED.get(role_of_name(name.rpartition(".")[2]), "") if "." in name.strip(".") else "")


def _unaccented(text: str) -> str:
    apart = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFC", "".join(each for each in apart if not unicodedata.combining(each)))


_ROLE = {_unaccented(name): role for role, names in _NAMES.items() for name in names.split()}
