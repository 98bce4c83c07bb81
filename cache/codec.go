package cache

import (
	"encoding/json"
	"fmt"
)

// Codec turns values into bytes for a tier and back. Unmarshal gets what Marshal made, possibly of an older version of the
// program: an error is a miss.
type Codec[V any] interface {
	Marshal(v V) ([]byte, error)
	Unmarshal(data []byte) (V, error)
}

// NamedCodec is a Codec with a name, which becomes a part of the keys in the tier: values of one codec are not given to another.
// Of a codec without a name that is its Go type.
type NamedCodec interface{ CodecName() string }

func codecName[V any](c Codec[V]) string {
	if n, ok := c.(NamedCodec); ok {
		return n.CodecName()
	}
	return fmt.Sprintf("%T", c)
}

// JSON is the codec of encoding/json.
func JSON[V any]() Codec[V] { return jsonCodec[V]{} }

type jsonCodec[V any] struct{}

// CodecName implements NamedCodec.
func (jsonCodec[V]) CodecName() string { return "json" }

// Marshal implements Codec.
func (jsonCodec[V]) Marshal(v V) ([]byte, error) { return json.Marshal(v) }

// Unmarshal implements Codec.
func (jsonCodec[V]) Unmarshal(data []byte) (v V, err error) {
	err = json.Unmarshal(data, &v)
	return v, err
}
