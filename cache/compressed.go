package cache

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Limits of [Compressed].
const (
	// MaxInflated is the maximum size of a decompressed value in bytes. Marshal and Unmarshal return an error for a
	// larger one.
	MaxInflated = 64 << 20

	leastCompressed = 256 // smaller values stay as they are
)

// Compressed returns a codec that compresses the bytes of another (DEFLATE, fastest level) if that makes them
// smaller. It is for tiers where memory or network is the bottleneck.
func Compressed[V any](codec Codec[V]) Codec[V] { return compressed[V]{codec} }

type compressed[V any] struct{ Codec[V] }

// The first byte of what Compressed makes.
const (
	storedPlain    = 0
	storedDeflated = 1
)

var errInflated = errors.New("cache: compressed value: malformed or too large")

// CodecName implements NamedCodec.
func (c compressed[V]) CodecName() string { return "deflate+" + codecName(c.Codec) }

// Marshal implements Codec.
func (c compressed[V]) Marshal(v V) ([]byte, error) {
	plain, err := c.Codec.Marshal(v)
	switch {
	case err != nil:
		return nil, err
	case len(plain) > MaxInflated:
		return nil, fmt.Errorf("%w: %d bytes", errInflated, len(plain))
	}

	if len(plain) >= leastCompressed {
		if data, err := deflate(plain); err == nil && len(data) < len(plain) {
			return data, nil
		}
	}
	return append([]byte{storedPlain}, plain...), nil
}

// Unmarshal implements Codec.
func (c compressed[V]) Unmarshal(data []byte) (v V, err error) {
	switch {
	case len(data) == 0:
		return v, errInflated
	case data[0] == storedPlain:
		return c.Codec.Unmarshal(data[1:])
	case data[0] != storedDeflated:
		return v, errInflated
	}

	r := flate.NewReader(bytes.NewReader(data[1:]))
	defer r.Close()
	plain, err := io.ReadAll(io.LimitReader(r, MaxInflated+1))
	switch {
	case err != nil:
		return v, fmt.Errorf("%w: %w", errInflated, err)
	case len(plain) > MaxInflated:
		return v, errInflated
	}
	return c.Codec.Unmarshal(plain)
}

// deflaters are writers that are kept, because each has large tables.
var deflaters = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(io.Discard, flate.BestSpeed) // an error comes of a wrong level alone
	return w
}}

func deflate(plain []byte) ([]byte, error) {
	w := deflaters.Get().(*flate.Writer) //nolint:errcheck,forcetypeassert // New makes nothing else
	defer deflaters.Put(w)
	out := bytes.NewBuffer(make([]byte, 0, len(plain)/2+16))
	out.WriteByte(storedDeflated)
	w.Reset(out)
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
