"""OTLP traces as the decoder reads them: the same field numbers as ``opentelemetry.proto``, other types.

Attributes, names, resources and scopes stay bytes, so that protobuf's C parser cuts the request up and what repeats is
found in a dict by its bytes instead of being parsed again. Bytes also take invalid UTF-8, for which proto3's ``string``
would refuse the whole request. Messages that may come in several pieces (proto's merge rule) are ``repeated bytes``:
to join the pieces is to merge them. A span's rarer fields (trace state, events, links, status) are not declared: they
stay among its unknown fields, and one look tells that there are none, where five cost 0.5 µs.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_PACKAGE: Final = "ragwatch.wire"
_TYPES: Final = {
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "uint32": FieldDescriptorProto.TYPE_UINT32,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "fixed64": FieldDescriptorProto.TYPE_FIXED64,
    "fixed32": FieldDescriptorProto.TYPE_FIXED32,
}
_SCHEMA: Final = """
    Request: resource_spans=1 ResourceSpans*
    ResourceSpans: resource=1 bytes* scope_spans=2 ScopeSpans*
    ScopeSpans: scope=1 bytes* spans=2 Span*
    UnreadRequest: resource_spans=1 UnreadResourceSpans*
    UnreadResourceSpans: resource=1 bytes* scope_spans=2 UnreadScopeSpans*
    UnreadScopeSpans: scope=1 bytes* spans=2 bytes*
    Span: trace_id=1 bytes span_id=2 bytes parent_span_id=4 bytes name=5 bytes kind=6 int32 \
        start=7 fixed64 end=8 fixed64 attributes=9 bytes* flags=16 fixed32
    Resource: attributes=1 bytes*
    Scope: name=1 bytes version=2 bytes
    Event: time=1 fixed64 name=2 bytes attributes=3 bytes*
    Link: trace_id=1 bytes span_id=2 bytes trace_state=3 bytes attributes=4 bytes*
    Status: message=2 bytes code=3 int32
    KeyValue: key=1 bytes value=2 AnyValue
    AnyValue: string=1 bytes? bool=2 bool? int=3 int64? double=4 double? array=5 Array? kvlist=6 KvList? raw=7 bytes?
    Array: values=1 AnyValue*
    KvList: values=1 KeyValue*
    FlatKeyValue: key=1 bytes value=2 bytes*
    FlatAnyValue: string=1 bytes? bool=2 bool? int=3 int64? double=4 double? array=5 bytes? kvlist=6 bytes? raw=7 bytes?
    FlatList: values=1 bytes*
"""
"""One message a line; ``*`` is repeated, ``?`` a member of the oneof ``held``. The flat ones do not go into nesting."""


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="ragwatch/wire.proto", package=_PACKAGE, syntax="proto3")
    for line in _SCHEMA.strip().splitlines():
        name, _, fields = line.strip().partition(": ")
        message = file.message_type.add(name=name)
        words = fields.split()
        for declared, kind in zip(words[::2], words[1::2], strict=True):
            field_name, _, number = declared.partition("=")
            label = FieldDescriptorProto.LABEL_REPEATED if kind.endswith("*") else FieldDescriptorProto.LABEL_OPTIONAL
            field = message.field.add(name=field_name, number=int(number), label=label)
            bare = kind.rstrip("*?")
            if bare in _TYPES:
                field.type = _TYPES[bare]
            else:
                field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{_PACKAGE}.{bare}"
            if kind.endswith("?"):
                if not message.oneof_decl:
                    message.oneof_decl.add(name="held")
                field.oneof_index = 0
    return file


_pool: Final = DescriptorPool()  # an own pool: nothing of this meets the app's or opentelemetry's messages
_pool.AddSerializedFile(_file().SerializeToString())


def message_class(name: str) -> Any:
    """The protobuf class of a message of the schema."""
    return GetMessageClass(_pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
