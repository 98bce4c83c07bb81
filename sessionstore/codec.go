package sessionstore

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Codec turns the application's data into bytes and back. Both methods may be called from many goroutines at once.
type Codec[T any] interface {
	// Version is what Encode writes now; it is stored beside the bytes.
	Version() byte
	Encode(data T) ([]byte, error)
	// Decode reads what some Version wrote. An error means that it cannot (ErrUnreadable): a program that was rolled back
	// meets what the newer one wrote. Decode must not keep encoded.
	Decode(version byte, encoded []byte) (T, error)
}

// JSON is the default Codec, of version 1.
func JSON[T any]() Codec[T] { return jsonCodec[T]{} }

type jsonCodec[T any] struct{}

func (jsonCodec[T]) Version() byte                 { return 1 }
func (jsonCodec[T]) Encode(data T) ([]byte, error) { return json.Marshal(data) }

func (jsonCodec[T]) Decode(version byte, encoded []byte) (data T, err error) {
	if version != 1 {
		return data, fmt.Errorf("sessionstore: codec version %d, want 1", version)
	}
	err = json.Unmarshal(encoded, &data)
	return data, err
}

// Bytes is the Codec of those who encode by themselves, such as adapters of frameworks. Its version is 0.
func Bytes() Codec[[]byte] { return bytesCodec{} }

type bytesCodec struct{}

func (bytesCodec) Version() byte                      { return 0 }
func (bytesCodec) Encode(data []byte) ([]byte, error) { return data, nil }

func (bytesCodec) Decode(version byte, encoded []byte) ([]byte, error) {
	if version != 0 {
		return nil, fmt.Errorf("sessionstore: codec version %d, want 0", version)
	}
	return slices.Clone(encoded), nil
}
