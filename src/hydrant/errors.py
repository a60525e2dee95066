"""Every error that Hydrant raises on purpose.

The hierarchy (× marks the builtin that a caller would catch without knowing ours):

    HydrantError
    ├── ConfigurationError          × ValueError           a setting that cannot work
    │   ├── UnknownArgument         × TypeError            a keyword nobody declared
    │   └── MissingDependency       × ImportError          an extra that is not installed
    ├── InputError                  × ValueError           a query, passage or filter that cannot be used
    │   ├── EmptyQuery                                     blank text to search for
    │   ├── FilterError                                    a filter that cannot become a Qdrant condition
    │   ├── TenantRequired                                 a tenanted collection asked without a tenant
    │   ├── TaskError                                      judged questions that cannot be used
    │   └── UnreadableDocument                             a file that gives no text
    │       └── EmptyDocument                              because it holds none
    ├── CollectionError             × ValueError           the collection and the request do not fit
    │   ├── CollectionNotFound
    │   ├── CollectionExists
    │   ├── UnknownVector                                  a vector name that the collection lacks
    │   ├── VectorMismatch                                 wrong size, wrong kind, NaN
    │   ├── EncoderMismatch                                opened with another encoder than it was made with
    │   ├── PayloadUnmapped                                no text key found in the payload
    │   └── TenantLeak              × PermissionError      a result that belongs to another tenant
    ├── EncodingError               × RuntimeError         a model that returned what it must not
    ├── GenerationError             × RuntimeError         a language model that failed, or said nothing of use
    ├── RankingError                × RuntimeError         a reranker that gave no usable scores
    ├── ModelNotFound               × OSError              a model that is neither local nor reachable
    ├── DeadlineExceeded            × TimeoutError         the time allowed ran out
    ├── StorageError                × OSError              disk full, read-only folder, write refused
    └── EdgeError                   × RuntimeError         the embedded engine
        ├── CollectionInUse                                another process holds the index
        ├── UnsupportedByEdge       × NotImplementedError  a call the embedded engine does not have
        └── FormatError             × ValueError           a folder that is not ours, or of a newer format

A message says the name, what was expected, the value, and what to do about it.
"""

from __future__ import annotations


class HydrantError(Exception):
    """The root of every error that Hydrant raises on purpose."""


class ConfigurationError(HydrantError, ValueError):
    """A setting that cannot work, found when the object is made."""


class UnknownArgument(ConfigurationError, TypeError):
    """A keyword argument that nobody declared; the message lists those that exist."""


class MissingDependency(ConfigurationError, ImportError):
    """A feature whose optional dependency is not installed; the message names the extra."""


class InputError(HydrantError, ValueError):
    """A query, passage or filter that cannot be used as it is."""


class EmptyQuery(InputError):
    """A query with no text to search for."""


class FilterError(InputError):
    """A filter that cannot become a Qdrant condition, or names a field without an index."""


class TenantRequired(InputError):
    """A collection with a tenant field was asked without saying whose documents are meant."""


class TaskError(InputError):
    """Judged questions, or a run, that cannot be used; the message names file and line where there is one."""


class UnreadableDocument(InputError):
    """A file from which no text can be read."""


class EmptyDocument(UnreadableDocument):
    """A file that was read and holds no text."""


class CollectionError(HydrantError, ValueError):
    """The collection and what is asked of it do not fit together."""


class CollectionNotFound(CollectionError):
    """No collection of that name; the message lists those that exist."""


class CollectionExists(CollectionError):
    """A collection of that name exists already."""


class UnknownVector(CollectionError):
    """A vector name that the collection does not have; the message lists those it has."""


class VectorMismatch(CollectionError):
    """A vector of the wrong size or kind, or with values that are not finite."""


class EncoderMismatch(CollectionError):
    """A collection opened with another encoder than the one that made it."""


class PayloadUnmapped(CollectionError):
    """A payload in which no text could be found; the message lists the keys that were seen."""


class TenantLeak(CollectionError, PermissionError):
    """A result came back that belongs to another tenant; it is withheld."""


class EncodingError(HydrantError, RuntimeError):
    """An encoder returned something that is not a usable vector."""


class GenerationError(HydrantError, RuntimeError):
    """A language model failed, or returned nothing that can be used."""


class RankingError(HydrantError, RuntimeError):
    """A reranker gave no usable scores: not finite, not one for each candidate."""


class ModelNotFound(HydrantError, OSError):
    """A model that is neither a local path, nor cached, nor reachable."""


class DeadlineExceeded(HydrantError, TimeoutError):
    """The time allowed for a query or a stage ran out."""


class StorageError(HydrantError, OSError):
    """The disk refused a write: full, read-only or gone."""


class EdgeError(HydrantError, RuntimeError):
    """The embedded engine could not do what was asked."""


class CollectionInUse(EdgeError):
    """Another process holds the index; the message names its process id."""


class UnsupportedByEdge(EdgeError, NotImplementedError):
    """A call that the embedded engine does not have; the message names it."""


class FormatError(EdgeError, ValueError):
    """A folder that is not an index of ours, or was written by a newer version."""
