package valuecodec

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// ErrEncode: a value cannot be encoded. The text has the type and not the value.
var ErrEncode = errors.New("valuecodec: value cannot be encoded")

// Pair is one value and what it is called.
type Pair struct{ Key, Value any }

// maxDepth of lists and maps within each other; a list that holds itself has no bottom.
const maxDepth = 64

// The first byte of a value says what follows. Numbers are not used again.
const (
	tagNil byte = iota
	tagFalse
	tagTrue
	tagString
	tagInt
	tagInt8
	tagInt16
	tagInt32
	tagInt64
	tagUint
	tagUint8
	tagUint16
	tagUint32
	tagUint64
	tagFloat32
	tagFloat64
	tagBytes
	tagTime
	tagDuration
	tagList
	tagStrings
	tagMap
	tagGob byte = 255
)

// boxed lets gob write the name of a value's type.
type boxed struct{ V any }

// Encode writes the pairs in an order of its own.
func Encode(pairs []Pair) ([]byte, error) { return appendPairs(nil, pairs, 0) }

func appendPairs(b []byte, pairs []Pair, depth int) ([]byte, error) {
	type encoded struct{ key, value []byte }
	all := make([]encoded, len(pairs))
	for i, p := range pairs {
		var err error
		if all[i].key, err = appendValue(nil, p.Key, depth+1); err != nil {
			return nil, err
		}
		if all[i].value, err = appendValue(nil, p.Value, depth+1); err != nil {
			return nil, err
		}
	}

	slices.SortFunc(all, func(x, y encoded) int { return bytes.Compare(x.key, y.key) })
	b = binary.AppendUvarint(b, uint64(len(all)))
	for _, e := range all {
		b = append(append(b, e.key...), e.value...)
	}

	return b, nil
}

func appendValue(b []byte, value any, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: it is nested more than %d deep", ErrEncode, maxDepth)
	}
	switch v := value.(type) {
	case nil:
		return append(b, tagNil), nil
	case bool:
		if v {
			return append(b, tagTrue), nil
		}
		return append(b, tagFalse), nil
	case string:
		return appendString(append(b, tagString), v), nil
	case int:
		return binary.AppendVarint(append(b, tagInt), int64(v)), nil
	case int8:
		return binary.AppendVarint(append(b, tagInt8), int64(v)), nil
	case int16:
		return binary.AppendVarint(append(b, tagInt16), int64(v)), nil
	case int32:
		return binary.AppendVarint(append(b, tagInt32), int64(v)), nil
	case int64:
		return binary.AppendVarint(append(b, tagInt64), v), nil
	case uint:
		return binary.AppendUvarint(append(b, tagUint), uint64(v)), nil
	case uint8:
		return binary.AppendUvarint(append(b, tagUint8), uint64(v)), nil
	case uint16:
		return binary.AppendUvarint(append(b, tagUint16), uint64(v)), nil
	case uint32:
		return binary.AppendUvarint(append(b, tagUint32), uint64(v)), nil
	case uint64:
		return binary.AppendUvarint(append(b, tagUint64), v), nil
	case float32:
		return binary.BigEndian.AppendUint32(append(b, tagFloat32), math.Float32bits(v)), nil
	case float64:
		return binary.BigEndian.AppendUint64(append(b, tagFloat64), math.Float64bits(v)), nil
	case time.Duration:
		return binary.AppendVarint(append(b, tagDuration), int64(v)), nil
	}

	return appendLong(b, value, depth)
}

// appendLong appends what has parts.
func appendLong(b []byte, value any, depth int) (_ []byte, err error) {
	switch v := value.(type) {
	case []byte:
		return appendString(append(b, tagBytes), string(v)), nil
	case time.Time:
		t, err := v.MarshalBinary() // as gob does it: without monotonic reading and name of the zone
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrEncode, err)
		}
		return appendString(append(b, tagTime), string(t)), nil
	case []any:
		b = binary.AppendUvarint(append(b, tagList), uint64(len(v)))
		for _, one := range v {
			if b, err = appendValue(b, one, depth+1); err != nil {
				return nil, err
			}
		}
		return b, nil
	case []string:
		b = binary.AppendUvarint(append(b, tagStrings), uint64(len(v)))
		for _, one := range v {
			b = appendString(b, one)
		}
		return b, nil
	case map[string]any:
		pairs := make([]Pair, 0, len(v))
		for key, one := range v {
			pairs = append(pairs, Pair{key, one})
		}
		return appendPairs(append(b, tagMap), pairs, depth)
	}

	return appendGob(b, value)
}

func appendGob(b []byte, value any) (_ []byte, err error) {
	defer func() {
		if r := recover(); r != nil { // of a type's own GobEncode
			err = fmt.Errorf("%w: %T panicked", ErrEncode, value)
		}
	}()
	var buffer bytes.Buffer
	if err := gob.NewEncoder(&buffer).Encode(boxed{value}); err != nil {
		return nil, fmt.Errorf("%w: %T: %w", ErrEncode, value, err)
	}
	return appendString(append(b, tagGob), buffer.String()), nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
