"""The vectorizers as estimators and models of Spark ML: fit and transform by the engine, in the Python workers of Spark.

`fit` counts each partition with `mapInArrow`, adds the counts up with Spark's own aggregation and chooses the columns on the
driver. `transform` adds a column of sparse vectors (`VectorUDT`), which the engine's rows become without a Python object a
value. Both give the same answer as the classes of `bowline` on the same texts, however they are partitioned. What runs on
executors is in `_spark_task.py`. Works with classic Spark and with Spark Connect.
"""

from __future__ import annotations

import hashlib
import inspect
import pickle
import tempfile
from collections.abc import Callable
from functools import partial as bind
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

try:
    import pyarrow as pa
    from pyspark.ml import Estimator, Model, Transformer
    from pyspark.ml.linalg import DenseVector, VectorUDT
    from pyspark.ml.param import Param, Params, TypeConverters
    from pyspark.ml.param.shared import HasHandleInvalid, HasInputCol, HasOutputCol
    from pyspark.ml.util import (
        DefaultParamsReadable,
        DefaultParamsReader,
        DefaultParamsWritable,
        DefaultParamsWriter,
        MLReader,
        MLWriter,
    )
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as sql
    from pyspark.sql.types import StringType, StructField, StructType
except ImportError as error:
    raise ImportError("bowline.spark needs pyspark 4 and pyarrow: install them by `pip install 'bowline[spark]'`") from error

import numpy as np

import bowline
from bowline import _partials, _spark_task
from bowline._engine import DEFAULT_TOKEN_PATTERN

__all__ = [
    "BM25Vectorizer",
    "BM25VectorizerModel",
    "CountVectorizer",
    "CountVectorizerModel",
    "HashingVectorizer",
    "TfidfVectorizer",
    "TfidfVectorizerModel",
]


class _Setting(NamedTuple):
    """A parameter: its name in Spark, its name in the class of `bowline`, its default, its documentation, its type."""

    name: str
    keyword: str
    default: Any
    doc: str
    convert: Callable[[Any], Any]


def _optional(convert: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else convert(value)


def _words(value: Any) -> Any:
    return TypeConverters.toString(value) if isinstance(value, str) else TypeConverters.toListString(value)


def _frequency(value: Any, *, least: bool) -> Any:
    """Returns an int, a number of documents, or a float from 0 to 1, a share of them."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"Could not convert {value!r} to a number of documents or a share of them")
    if isinstance(value, (int, np.integer)):
        return int(value)
    value = float(value)
    if least and value == 1.0:
        raise TypeError("1.0 is a share, all documents: give the int 1 for one document")
    return int(value) if value > 1.0 and value.is_integer() else value


_TEXTS = (
    _Setting("analyzer", "analyzer", "word", "what a term is made of: 'word', 'char' or 'char_wb'", TypeConverters.toString),
    _Setting("ngramRange", "ngram_range", [1, 1], "least and greatest n of the n-grams", TypeConverters.toListInt),
    _Setting("lowercase", "lowercase", True, "whether texts are lowercased", TypeConverters.toBoolean),
    _Setting("stripAccents", "strip_accents", None, "'ascii', 'unicode' or None", bind(_optional, TypeConverters.toString)),
    _Setting("tokenPattern", "token_pattern", DEFAULT_TOKEN_PATTERN, "regular expression of a word", TypeConverters.toString),
    _Setting("stopWords", "stop_words", None, "words to leave out: a list, 'english' or None", bind(_optional, _words)),
)
_BINARY = _Setting("binary", "binary", False, "whether all counts above 0 become 1", TypeConverters.toBoolean)
_COLUMNS = (
    _Setting(
        "minDF",
        "min_df",
        1,
        "least document frequency of a term: an int is a number of documents, a float below 1 is a share of them",
        bind(_frequency, least=True),
    ),
    _Setting(
        "maxDF",
        "max_df",
        1.0,
        "greatest document frequency of a term: an int is a number of documents, a float up to 1.0 is a share of them",
        bind(_frequency, least=False),
    ),
    _Setting(
        "maxFeatures",
        "max_features",
        None,
        "number of columns, of the most frequent terms; None is no limit",
        bind(_optional, TypeConverters.toInt),
    ),
)
_NORM = _Setting("norm", "norm", "l2", "the norm of each row: 'l1', 'l2' or None", bind(_optional, TypeConverters.toString))
_TFIDF = (
    _NORM,
    _Setting("useIDF", "use_idf", True, "whether counts are multiplied by idf", TypeConverters.toBoolean),
    _Setting("smoothIDF", "smooth_idf", True, "whether one is added to document frequencies", TypeConverters.toBoolean),
    _Setting("sublinearTF", "sublinear_tf", False, "whether a count becomes 1 + ln(count)", TypeConverters.toBoolean),
)
_BM25 = (
    _Setting("method", "method", "lucene", "'lucene', 'robertson', 'atire', 'bm25l' or 'bm25+'", TypeConverters.toString),
    _Setting("k1", "k1", 1.5, "how late the count of a term saturates", TypeConverters.toFloat),
    _Setting("b", "b", 0.75, "how much the length of a document counts, from 0 to 1", TypeConverters.toFloat),
    _Setting("delta", "delta", 0.5, "what bm25l and bm25+ add for a term that occurs", TypeConverters.toFloat),
)
_HASHING = (
    _Setting("numFeatures", "n_features", 2**20, "number of columns", TypeConverters.toInt),
    _NORM,
    _Setting("alternateSign", "alternate_sign", True, "whether the hash decides the sign of a count", TypeConverters.toBoolean),
)


class _Vectorizer(HasInputCol, HasOutputCol, HasHandleInvalid):
    """The Params that all classes share, and the Params of `_settings`, each with a getter and a setter.

    `handleInvalid` is what a null text does: "error", "skip" (leaves out the row) or "keep" (an empty text).
    """

    _settings: ClassVar[tuple[_Setting, ...]]
    #: The class of `bowline` that has these parameters.
    _kind: ClassVar[str]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Stands for the Params of `_settings`, and for the getters and setters of all Params."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "_settings" not in vars(cls):
            return
        own = [(setting.name, setting.default) for setting in cls._settings]
        for setting in cls._settings:
            setattr(cls, setting.name, Param(Params._dummy(), setting.name, setting.doc, setting.convert))
        shared: list[tuple[str, Any]] = [("inputCol", None), ("outputCol", None), ("handleInvalid", "error")]
        for name, _ in shared + own:
            _define_accessors(cls, name)
        cls.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default) for name, default in shared + own]
        )

    def __init__(self, **params: Any) -> None:
        super().__init__()
        self._setDefault(handleInvalid="error", **{setting.name: setting.default for setting in self._settings})
        self.setParams(**params)

    def setParams(self, **params: Any) -> Any:
        """Sets Params by their names."""
        for name in params:
            if not self.hasParam(name):
                raise TypeError(f"{type(self).__name__} has no Param {name!r}")
        return self._set(**{name: value for name, value in params.items() if value is not None or name in self._nullable()})

    @classmethod
    def _nullable(cls) -> set[str]:
        """The Params of which None is a value."""
        return {setting.name for setting in cls._settings if isinstance(setting.convert, bind)}

    def _keywords(self) -> dict[str, Any]:
        """Returns the parameters of the class of `bowline`."""
        keywords = {setting.keyword: self.getOrDefault(setting.name) for setting in self._settings}
        keywords["ngram_range"] = tuple(keywords["ngram_range"])
        keywords["dtype"] = np.float64
        return keywords

    def _texts(self, dataset: DataFrame) -> tuple[DataFrame, _spark_task.Texts]:
        """Returns the rows to read, and how a task reads their texts."""
        column = self.getInputCol()
        handle_invalid = self.getHandleInvalid()
        if handle_invalid not in ("error", "skip", "keep"):
            raise ValueError(f"handleInvalid must be 'error', 'skip' or 'keep', got {handle_invalid!r}")
        if column not in dataset.columns:
            raise ValueError(f"inputCol: no column {column!r}; the columns are {', '.join(dataset.columns)}")
        kind = dataset.schema[column].dataType
        if not isinstance(kind, StringType):
            raise ValueError(f"inputCol: column {column!r} must be of strings, is of type {kind.simpleString()}")
        if handle_invalid == "skip":
            dataset = dataset.where(dataset[column].isNotNull())
        return dataset, _spark_task.Texts(column, handle_invalid)

    def _add_vectors(self, dataset: DataFrame, fitted: _spark_task.Fitted, size: int) -> DataFrame:
        """Returns the rows of a DataFrame with the column of vectors."""
        output = self.getOutputCol()
        if output in dataset.columns:
            raise ValueError(f"outputCol: column {output!r} exists already")
        dataset, texts = self._texts(dataset)
        key, source = _ship(dataset, fitted)
        metadata = {"ml_attr": {"num_attrs": size}}
        schema = StructType([*dataset.schema.fields, StructField(output, VectorUDT(), True, metadata)])
        task = _spark_task.Transform(key, source, texts, output)
        return dataset.mapInArrow(lambda batches: task(batches), schema)


def _define_accessors(cls: Any, name: str) -> None:
    """Defines the getter and the setter of a Param."""

    def get(self: Any) -> Any:
        return self.getOrDefault(name)

    def set_(self: Any, value: Any) -> Any:
        return self._set(**{name: value})

    suffix = name[0].upper() + name[1:]
    for function, verb, doc in ((get, "get", f"Returns `{name}` or its default."), (set_, "set", f"Sets `{name}`.")):
        function.__name__ = verb + suffix
        function.__qualname__ = f"{cls.__name__}.{function.__name__}"
        function.__doc__ = doc
        setattr(cls, function.__name__, function)


def _ship(dataset: DataFrame, fitted: _spark_task.Fitted) -> tuple[str, Any]:
    """Returns the key of a state, and where the workers read it.

    Hashed terms have no state that is worth a broadcast. Spark Connect has no broadcast: there it is a file.
    """
    state = pickle.dumps(fitted)
    key = hashlib.sha256(state).hexdigest()
    if fitted.terms is None:
        return key, _spark_task.Inline(state)
    session: Any = dataset.sparkSession
    sent = session.__dict__.setdefault("_bowline_states", {})
    if key not in sent:
        if type(dataset).__module__.startswith("pyspark.sql.connect"):
            name = f"bowline-{key}"
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, name)
                path.write_bytes(state)
                session.addArtifact(str(path), file=True)
            sent[key] = _spark_task.Artifact(name)
        else:
            sent[key] = _spark_task.Broadcasted(session.sparkContext.broadcast(state))
    return key, sent[key]


class _Estimator(_Vectorizer, Estimator, DefaultParamsReadable, DefaultParamsWritable):  # type: ignore[type-arg]
    """An estimator whose model has the same Params."""

    _model: ClassVar[Any]

    def _fit(self, dataset: DataFrame) -> Any:
        estimator = getattr(bowline, self._kind)(**self._keywords(), n_jobs=1)
        dataset, texts = self._texts(dataset)
        _partials.check(estimator)
        task = _spark_task.Fit(estimator, texts)
        parts = dataset.select(texts.column).mapInArrow(lambda batches: task(batches), "term string, df long, tf long")
        counts = parts.groupBy("term").agg(sql.sum("df").alias("df"), sql.sum("tf").alias("tf"))
        fitted = _partials.fitted(estimator, _partials.total([counts.toArrow()]))
        model = self._model()
        model._terms = pa.array(fitted.get_feature_names_out(), pa.large_string())
        model._idf = getattr(fitted, "idf_", None)
        model._mean_length = getattr(fitted, "mean_length_", None)
        model._resetUid(self.uid)
        return self._copyValues(model)


class _ModelWriter(MLWriter):
    """Writes the Params as Spark ML does, and the terms as Parquet below `data`."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = model

    def saveImpl(self, path: str) -> None:
        """Writes the model."""
        model = self._model
        DefaultParamsWriter.saveMetadata(model, path, self.sparkSession, extraMetadata={"meanLength": model._mean_length})
        table = pa.table(
            {
                "column": pa.array(np.arange(len(model._terms), dtype=np.int32)),
                "term": model._terms,
                "idf": pa.nulls(len(model._terms), pa.float64()) if model._idf is None else pa.array(model._idf),
            }
        )
        self.sparkSession.createDataFrame(table).coalesce(1).write.parquet(f"{path}/data")


class _ModelReader(MLReader[Any]):
    """Reads what `_ModelWriter` has written."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self._class = kind

    def load(self, path: str) -> Any:
        """Reads a model."""
        name = f"{self._class.__module__}.{self._class.__name__}"
        metadata = DefaultParamsReader.loadMetadata(path, self.sparkSession)
        if metadata["class"] != name:
            raise ValueError(f"{path} holds a {metadata['class']}, not a {name}")
        table = self.sparkSession.read.parquet(f"{path}/data").orderBy("column").toArrow()
        model = self._class()
        model._terms = table["term"].cast(pa.large_string()).combine_chunks()
        model._idf = None if table["idf"].null_count else table["idf"].to_numpy()
        model._mean_length = metadata["meanLength"]
        model._resetUid(metadata["uid"])
        DefaultParamsReader.getAndSetParams(model, metadata)
        return model


class _Model(_Vectorizer, Model, DefaultParamsReadable, DefaultParamsWritable):  # type: ignore[type-arg]
    """A fitted vectorizer: the terms in the order of columns, and what weighs them."""

    _terms: pa.Array = pa.array([], pa.large_string())
    _idf: np.ndarray[Any, Any] | None = None
    _mean_length: float | None = None

    @property
    def vocabulary(self) -> list[str]:
        """The terms in the order of columns."""
        terms: list[str] = self._terms.to_pylist()
        return terms

    def _transform(self, dataset: DataFrame) -> DataFrame:
        fitted = _spark_task.Fitted(self._kind, self._keywords(), self._terms, self._idf, self._mean_length)
        return self._add_vectors(dataset, fitted, len(self._terms))

    def write(self) -> MLWriter:
        """Returns a writer of the model."""
        return _ModelWriter(self)

    @classmethod
    def read(cls) -> Any:
        """Returns a reader of models."""
        return _ModelReader(cls)


class CountVectorizerModel(_Model):
    """What `CountVectorizer.fit` returns."""

    _kind = "CountVectorizer"
    _settings = (*_TEXTS, *_COLUMNS, _BINARY)


class CountVectorizer(_Estimator):
    """Counts of terms as sparse vectors: `bowline.CountVectorizer` over a column of a DataFrame.

    The Params are those of `bowline.CountVectorizer` with Spark's spelling: `explainParams()` lists them. A document frequency
    is a number of documents if it is an int, and a share of them if it is a float up to 1.0.

    Examples
    --------
    ::

        from bowline.spark import CountVectorizer

        vectorizer = CountVectorizer(inputCol="text", outputCol="features", minDF=2)
        model = vectorizer.fit(texts)
        vectors = model.transform(texts)
    """

    _kind = "CountVectorizer"
    _settings = CountVectorizerModel._settings
    _model = CountVectorizerModel


class TfidfVectorizerModel(_Model):
    """What `TfidfVectorizer.fit` returns."""

    _kind = "TfidfVectorizer"
    _settings = (*CountVectorizerModel._settings, *_TFIDF)

    @property
    def idf(self) -> DenseVector:
        """The factor of each column."""
        if self._idf is None:
            raise ValueError("the model has no idf, since useIDF is False")
        return DenseVector(self._idf)


class TfidfVectorizer(_Estimator):
    """Tf-idf weights as sparse vectors: `bowline.TfidfVectorizer` over a column of a DataFrame.

    The Params are those of `CountVectorizer`, and `norm`, `useIDF`, `smoothIDF` and `sublinearTF`.
    """

    _kind = "TfidfVectorizer"
    _settings = TfidfVectorizerModel._settings
    _model = TfidfVectorizerModel


class BM25VectorizerModel(_Model):
    """What `BM25Vectorizer.fit` returns. `transform` weighs documents."""

    _kind = "BM25Vectorizer"
    _settings = (*_TEXTS, *_COLUMNS, *_BM25)

    @property
    def idf(self) -> DenseVector:
        """The factor of each column."""
        assert self._idf is not None
        return DenseVector(self._idf)

    @property
    def meanLength(self) -> float | None:
        """Mean number of tokens of a document, counted before terms are dropped."""
        return self._mean_length

    def queryModel(self) -> CountVectorizerModel:
        """Returns the model that counts the same terms in queries: a score is the product of a document and a query."""
        model = CountVectorizerModel()
        model._terms = self._terms
        return self._copyValues(model)


class BM25Vectorizer(_Estimator):
    """BM25 weights as sparse vectors: `bowline.BM25Vectorizer` over a column of a DataFrame.

    The Params are those of `CountVectorizer` without `binary`, and `method`, `k1`, `b` and `delta`. The model weighs
    documents; its `queryModel()` counts terms in queries.
    """

    _kind = "BM25Vectorizer"
    _settings = BM25VectorizerModel._settings
    _model = BM25VectorizerModel


class HashingVectorizer(_Vectorizer, Transformer, DefaultParamsReadable, DefaultParamsWritable):  # type: ignore[type-arg]
    """Counts of hashed terms as sparse vectors: `bowline.HashingVectorizer` over a column of a DataFrame. It needs no `fit`."""

    _kind = "HashingVectorizer"
    _settings = (*_TEXTS, _BINARY, *_HASHING)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        fitted = _spark_task.Fitted(self._kind, self._keywords())
        _partials.check(fitted.estimator())
        return self._add_vectors(dataset, fitted, self.getOrDefault("numFeatures"))
