package cache

import (
	"encoding/json"
	"fmt"
)

// Codec converts values to bytes for a tier, and back. Unmarshal gets what Marshal returned, possibly in an older
// version of the program. An error of Unmarshal counts as a miss.
type Codec[V any] interface {
	Marshal(v V) ([]byte, error)
	Unmarshal(data []byte) (V, error)
}

// NamedCodec is a [Codec] with a name. The name is a part of the keys in the tier, so that values of one codec are
// not passed to another. For a codec without a name it is the Go type.
type NamedCodec interface{ CodecName() string }

func codecName[V any](c Codec[V]) string {
	if n, ok := c.(NamedCodec); ok {
		return n.CodecName()
	}
	return fmt.Sprintf("%T", c)
}

// JSON returns the codec that uses encoding/json.
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
