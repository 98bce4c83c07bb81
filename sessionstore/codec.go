package sessionstore

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Codec encodes the application's data. Both methods must be safe for concurrent use.
type Codec[T any] interface {
	// Version returns the version of the form that Encode writes. It is stored beside the bytes.
	Version() byte
	Encode(data T) ([]byte, error)
	// Decode decodes what Encode of any Version has written. An error means that it cannot (ErrUnreadable), for
	// example because a newer version of the program wrote it. Decode must not keep a reference to encoded.
	Decode(version byte, encoded []byte) (T, error)
}

// JSON returns the default Codec. Its version is 1.
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

// Bytes returns the Codec for programs that encode data themselves, such as adapters of frameworks. Its version is 0.
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
