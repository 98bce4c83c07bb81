package valuecodec

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"math"
	"time"
)

// ErrDecode: the bytes are not what Encode writes, or hold a type that this program has not registered.
var ErrDecode = errors.New("valuecodec: bytes cannot be decoded")

// Decode is the reverse of Encode. What it returns shares nothing with b.
func Decode(b []byte) ([]Pair, error) {
	r := reader{rest: b}
	pairs := r.pairs(0)
	if r.err == nil && len(r.rest) > 0 {
		r.fail("there is more than the values")
	}
	if r.err != nil {
		return nil, r.err
	}
	return pairs, nil
}

// reader keeps its first error; after one it reads zeros.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(why string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrDecode, why)
	}
	r.rest = nil
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.fail("it is cut short")
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail("no number")
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail("no number")
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// count is of things that have a byte at least.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail("it is cut short")
		return 0
	}
	return int(n)
}

func (r *reader) text() string { return string(r.take(r.uvarint())) }

func (r *reader) pairs(depth int) []Pair {
	n := r.count()
	pairs := make([]Pair, 0, n)
	for range n {
		if r.err != nil {
			return nil
		}
		p := Pair{r.value(depth + 1), r.value(depth + 1)}
		pairs = append(pairs, p)
	}
	return pairs
}

func (r *reader) value(depth int) any {
	tag := r.take(1)
	if r.err != nil {
		return nil
	}

	if depth > maxDepth {
		r.fail("it is nested too deep")
		return nil
	}

	switch tag[0] {
	case tagNil:
		return nil
	case tagFalse, tagTrue:
		return tag[0] == tagTrue
	case tagString:
		return r.text()
	case tagInt:
		return int(r.varint())
	case tagInt8:
		return int8(r.varint())
	case tagInt16:
		return int16(r.varint())
	case tagInt32:
		return int32(r.varint())
	case tagInt64:
		return r.varint()
	case tagUint:
		return uint(r.uvarint())
	case tagUint8:
		return uint8(r.uvarint())
	case tagUint16:
		return uint16(r.uvarint())
	case tagUint32:
		return uint32(r.uvarint())
	case tagUint64:
		return r.uvarint()
	case tagFloat32:
		if b := r.take(4); b != nil {
			return math.Float32frombits(binary.BigEndian.Uint32(b))
		}
		return nil
	case tagFloat64:
		if b := r.take(8); b != nil {
			return math.Float64frombits(binary.BigEndian.Uint64(b))
		}
		return nil
	case tagDuration:
		return time.Duration(r.varint())
	}

	return r.long(tag[0], depth)
}

// long reads what has parts.
func (r *reader) long(tag byte, depth int) any {
	switch tag {
	case tagBytes:
		return []byte(r.text())
	case tagTime:
		var t time.Time
		if err := t.UnmarshalBinary(r.take(r.uvarint())); err != nil {
			r.fail("no time")
		}
		return t
	case tagList:
		n := r.count()
		list := make([]any, 0, n)
		for range n {
			if r.err != nil {
				return nil
			}
			list = append(list, r.value(depth+1))
		}
		return list
	case tagStrings:
		n := r.count()
		list := make([]string, 0, n)
		for range n {
			if r.err != nil {
				return nil
			}
			list = append(list, r.text())
		}
		return list
	case tagMap:
		pairs := r.pairs(depth)
		m := make(map[string]any, len(pairs))
		for _, p := range pairs {
			key, ok := p.Key.(string)
			if !ok {
				r.fail("a key is no text")
				return nil
			}
			m[key] = p.Value
		}
		return m
	case tagGob:
		return r.gob(r.take(r.uvarint()))
	}

	r.fail("no such type")
	return nil
}

func (r *reader) gob(b []byte) any {
	defer func() {
		if v := recover(); v != nil { // of a type's own GobDecode
			r.fail("a type panicked")
		}
	}()

	if r.err != nil {
		return nil
	}
	var box boxed
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&box); err != nil {
		// The text of gob has names of types and no values.
		r.fail(err.Error())
		return nil
	}

	return box.V
}
