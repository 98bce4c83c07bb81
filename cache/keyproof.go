package cache

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"unsafe"
)

// keyProof tells keys apart that KeyString, by mistake, gives the same text: what is in a tier says of which key it is, in
// an encoding of the key that is not the application's. It is nil where the text is the key itself.
type keyProof[K comparable] func(key K) (string, error)

// newKeyProof returns an error for types whose values mean something in one process only.
func newKeyProof[K comparable](n *naming[K]) (keyProof[K], error) {
	if !n.custom {
		return nil, nil //nolint:nilnil // documented: none is needed
	}

	t := reflect.TypeFor[K]()
	if err := portable(t); err != nil {
		return nil, fmt.Errorf("%w: Tier: keys of type %s: %w", ErrConfig, t, err)
	}

	return func(key K) (proof string, err error) {
		var b []byte
		if err := n.callback("key's Marshal method", func() { b, err = appendKey(nil, reflect.ValueOf(&key).Elem()) }); err != nil {
			return "", err
		}
		if err != nil {
			return "", err
		}
		sum := sha256.Sum256(b)
		return string(sum[:16]), nil
	}, nil
}

// walkable reports whether the value of a type is all there is to it: nothing behind pointers.
func walkable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.UnsafePointer, reflect.Chan, reflect.Func, reflect.Map, reflect.Slice:
		return false
	case reflect.Array:
		return walkable(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !walkable(t.Field(i).Type) {
				return false
			}
		}
	default:
	}
	return true
}

var (
	binaryMarshaler = reflect.TypeFor[encoding.BinaryMarshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
)

// portable returns an error if a type can neither be walked nor encodes itself, and neither can one of its fields.
func portable(t reflect.Type) error {
	switch {
	case walkable(t), t.Implements(binaryMarshaler), t.Implements(textMarshaler):
		return nil
	case t.Kind() == reflect.Array:
		return portable(t.Elem())
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			if err := portable(t.Field(i).Type); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%s means nothing to another process", t)
}

// appendKey appends an encoding that no other value of the type has. The value is addressable.
func appendKey(b []byte, v reflect.Value) ([]byte, error) {
	t := v.Type()
	switch {
	case walkable(t):
	case t.Implements(binaryMarshaler), t.Implements(textMarshaler):
		return appendMarshaled(b, v)
	}

	switch t.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1), nil
		}
		return append(b, 0), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return binary.AppendVarint(b, v.Int()), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return binary.AppendUvarint(b, v.Uint()), nil
	case reflect.Float32, reflect.Float64:
		return appendFloat(b, v.Float()), nil
	case reflect.Complex64, reflect.Complex128:
		return appendFloat(appendFloat(b, real(v.Complex())), imag(v.Complex())), nil
	case reflect.String:
		return appendText(b, v.String()), nil
	case reflect.Array:
		var err error
		for i := 0; i < v.Len() && err == nil; i++ {
			b, err = appendKey(b, v.Index(i))
		}
		return b, err
	case reflect.Struct:
		var err error
		for i := 0; i < v.NumField() && err == nil; i++ {
			if t.Field(i).Name != "_" { // == does not look at those either
				b, err = appendKey(b, v.Field(i))
			}
		}
		return b, err
	case reflect.Interface:
		return appendDynamic(b, v)
	default:
		return nil, fmt.Errorf("%w: %s means nothing to another process", ErrKey, t)
	}
}

// appendFloat makes the two zeros one, as == does.
func appendFloat(b []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(b, math.Float64bits(f+0))
}

// appendMarshaled encodes a value by its own method.
func appendMarshaled(b []byte, v reflect.Value) (_ []byte, err error) {
	// A field that is not exported has to be read at its address.
	own := reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem().Interface() //nolint:gosec // same type, same memory
	var data []byte
	if m, ok := own.(encoding.BinaryMarshaler); ok {
		data, err = m.MarshalBinary()
	} else if m, ok := own.(encoding.TextMarshaler); ok {
		data, err = m.MarshalText()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return appendText(b, string(data)), nil
}

// appendDynamic encodes what an interface holds, with its type.
func appendDynamic(b []byte, v reflect.Value) ([]byte, error) {
	if v.IsNil() {
		return append(b, 0), nil
	}

	held := v.Elem()
	if err := portable(held.Type()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}

	b = appendText(append(b, 1), held.Type().PkgPath())
	b = appendText(b, held.Type().String())
	if !held.CanInterface() {
		return nil, fmt.Errorf("%w: the field that holds a %s is not exported", ErrKey, held.Type())
	}

	addressable := reflect.New(held.Type()).Elem()
	addressable.Set(held)
	return appendKey(b, addressable)
}
