package cache

import "encoding/json"

// Codec turns values into bytes for a tier and back. Unmarshal gets what Marshal made, possibly of an older version of the
// program: an error is a miss.
type Codec[V any] interface {
	Marshal(v V) ([]byte, error)
	Unmarshal(data []byte) (V, error)
}

// JSON is the codec of encoding/json.
func JSON[V any]() Codec[V] { return jsonCodec[V]{} }

type jsonCodec[V any] struct{}

// Marshal implements Codec.
func (jsonCodec[V]) Marshal(v V) ([]byte, error) { return json.Marshal(v) }

// Unmarshal implements Codec.
func (jsonCodec[V]) Unmarshal(data []byte) (v V, err error) {
	err = json.Unmarshal(data, &v)
	return v, err
}
