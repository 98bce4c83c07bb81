package cache

import (
	"encoding"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A topic's events carry keys and tags in one list of strings. A key is sent as it is unless it begins with the mark;
// then, and for tags, the mark and one more character stand before it. No key reads like a tag, and what triggers and SQL
// write is a plain key.
const (
	mark      = '~'
	tagPrefix = "~#"
	keyPrefix = "~="
)

// TagKey returns the event key that invalidates all values with a tag, for code that publishes without a cache. In
// SQL it is '~#' || tag.
func TagKey(tag string) string { return tagPrefix + tag }

// tagNames returns the names of tags on the wire.
func tagNames(tags []string) []string {
	if len(tags) == 0 {
		return nil
	}
	names := make([]string, len(tags))
	for i, tag := range tags {
		names[i] = TagKey(tag)
	}
	return names
}

// escape is a key's string as it travels.
func escape(key string) string {
	if key != "" && key[0] == mark {
		return keyPrefix + key
	}
	return key
}

// validateText reports what is wrong with a string that is to travel.
func validateText(what, text string) error {
	switch {
	case len(text) > MaxKeyLen:
		return fmt.Errorf("%w: %s has %d bytes, at most %d", ErrKey, what, len(text), MaxKeyLen)
	case !utf8.ValidString(text):
		return fmt.Errorf("%w: %s is not valid UTF-8", ErrKey, what)
	case strings.IndexByte(text, 0) >= 0:
		return fmt.Errorf("%w: %s contains NUL", ErrKey, what)
	}
	return nil
}

// naming turns keys into the strings that stand for them on the wire, and back.
type naming[K comparable] struct {
	format func(K) (string, error)
	parse  func(string) []K // all keys that a text can mean; nil: the index knows
	index  *index[K]        // nil: there is a parse

	// custom: format and parse are, or use, functions of the application.
	custom bool
	// hostile: there are values of K that Go cannot hash, or that are not equal to themselves.
	hostile bool
	// callback calls functions of the application.
	callback func(name string, f func()) error
}

func newNaming[K comparable](format func(K) string, parse func(string) (K, error)) (*naming[K], error) {
	t := reflect.TypeFor[K]()
	n := &naming[K]{hostile: isHostile(t), callback: protect}

	switch {
	case format != nil:
		n.custom = true
		n.format = func(k K) (string, error) { return format(k), nil }
		if parse == nil {
			n.index = newIndex[K]()
			break
		}
		n.parse = func(s string) []K {
			if k, err := parse(s); err == nil {
				return []K{k}
			}
			return nil
		}
	case t.Kind() == reflect.String:
		n.format = func(k K) (string, error) { return reflect.ValueOf(k).String(), nil }
		n.parse = parseStringKey[K]
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64:
		n.format = func(k K) (string, error) { return strconv.FormatInt(reflect.ValueOf(k).Int(), 10), nil }
		n.parse = parseIntKey[K]
	case t.Kind() >= reflect.Uint && t.Kind() <= reflect.Uintptr:
		n.format = func(k K) (string, error) { return strconv.FormatUint(reflect.ValueOf(k).Uint(), 10), nil }
		n.parse = parseUintKey[K]
	case t.Kind() == reflect.Array && t.Elem().Kind() == reflect.Uint8:
		n.format = func(k K) (string, error) { return hex.EncodeToString(arrayBytes(&k)), nil }
		n.parse = parseBytesKey[K]
		_, formats := any(*new(K)).(encoding.TextMarshaler)
		_, parses := any(new(K)).(encoding.TextUnmarshaler)
		if formats && parses {
			n.custom = true
			n.format = marshalText[K]
			n.parse = func(s string) []K { return append(unmarshalText[K](s), parseBytesKey[K](s)...) }
		}
	default:
		return nil, fmt.Errorf("%w: KeyString: needed for keys of type %s", ErrConfig, t)
	}
	return n, nil
}

// isHostile reports whether a type has values that cannot be hashed, or are not equal to themselves.
func isHostile(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Interface, reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return true
	case reflect.Array:
		return isHostile(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if isHostile(t.Field(i).Type) {
				return true
			}
		}
	default:
	}
	return false
}

// checkKey returns an error for a key that no map can hold. It is called before the key is used, because afterwards a
// lock may be held.
func (n *naming[K]) checkKey(k K) error {
	if !n.hostile {
		return nil
	}
	same := false
	if err := protect("key", func() { same = k == k && maphash.Comparable(hostileSeed, k) >= 0 }); err != nil { //nolint:gocritic,staticcheck // NaN is not
		return fmt.Errorf("%w: a %T cannot be compared: it holds a slice, a map or a function", ErrKey, k)
	}
	if !same {
		return fmt.Errorf("%w: a %T that is not equal to itself: it holds NaN", ErrKey, k)
	}
	return nil
}

var hostileSeed = maphash.MakeSeed()

// arrayBytes is the memory of an array of bytes.
func arrayBytes[K comparable](k *K) []byte { return reflect.ValueOf(k).Elem().Bytes() }

func marshalText[K comparable](k K) (string, error) {
	m, ok := any(k).(encoding.TextMarshaler)
	if !ok {
		return "", fmt.Errorf("%w: no text", ErrKey)
	}
	text, err := m.MarshalText()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrKey, err)
	}
	return string(text), nil
}

func unmarshalText[K comparable](s string) []K {
	var k K
	if u, ok := any(&k).(encoding.TextUnmarshaler); ok && u.UnmarshalText([]byte(s)) == nil {
		return []K{k}
	}
	return nil
}

// name returns a key's string on the wire, or an error that says what is wrong with it.
func (n *naming[K]) name(k K) (string, error) {
	if err := n.checkKey(k); err != nil {
		return "", err
	}
	s, err := n.text(k)
	if err != nil {
		return "", err
	}
	s = escape(s)
	return s, validateText("key", s)
}

func (n *naming[K]) text(k K) (string, error) {
	if !n.custom {
		return n.format(k)
	}
	return n.customText(k)
}

// customText is text with a function of the application.
func (n *naming[K]) customText(k K) (s string, err error) {
	if panicked := n.callback("KeyString", func() { s, err = n.format(k) }); panicked != nil {
		return "", fmt.Errorf("%w: %w", ErrKey, panicked)
	}
	return s, err
}

// target is what a string of an event names: a key, in its canonical spelling, a tag, or a key that is not held.
type target[K comparable] struct {
	kind targetKind
	key  K
	name string
	tag  string
}

type targetKind uint8

const (
	targetKey     targetKind = iota
	targetUnheld             // a key that is not held, or cannot be one of this cache's; name is what it would be
	targetForeign            // the same, and no key of this cache has such a text
	targetTag
)

// targets appends what a string of an event can mean. What others wrote by hand may look like a tag or an escaped key and
// be a plain one, so it counts as both.
func (n *naming[K]) targets(list []target[K], wire string) []target[K] {
	before := len(list)
	list = n.plain(list, wire)
	if wire != "" && wire[0] == mark {
		if key, ok := strings.CutPrefix(wire, keyPrefix); ok {
			list = n.plain(list, key)
		}
		if tag, ok := strings.CutPrefix(wire, tagPrefix); ok {
			return append(list, target[K]{kind: targetTag, name: wire, tag: tag})
		}
	}

	if len(list) == before {
		kind := targetUnheld
		if n.parse != nil {
			kind = targetForeign
		}
		list = append(list, target[K]{kind: kind, name: n.canonical(wire)})
	}
	return list
}

// plain appends the keys that have a text.
func (n *naming[K]) plain(list []target[K], text string) []target[K] {
	if n.parse == nil {
		name := escape(text)
		for _, key := range n.index.find(name) {
			list = append(list, target[K]{key: key, name: name})
		}
		return list
	}

	for _, key := range n.parse(text) {
		s, err := n.format(key)
		if err != nil || n.checkKey(key) != nil {
			continue
		}
		if s = escape(s); validateText("key", s) == nil {
			list = append(list, target[K]{key: key, name: s})
		}
	}
	return list
}

// canonical is the name of a key that others wrote and that no known key has.
func (n *naming[K]) canonical(wire string) string {
	if strings.HasPrefix(wire, keyPrefix) {
		return wire
	}
	return escape(wire)
}
