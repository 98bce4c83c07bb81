package cache

import (
	"encoding"
	"encoding/hex"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
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

// TagKey is the key by which an event says that all with a tag is invalid, for those who publish without a cache at
// hand: in SQL it is '~#' || tag.
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

// naming turns keys into strings and back.
type naming[K comparable] struct {
	format func(K) (string, error)
	parse  func(string) (K, error) // nil: the index knows
	index  *index[K]
}

func newNaming[K comparable](format func(K) string, parse func(string) (K, error)) (*naming[K], error) {
	if format != nil {
		n := &naming[K]{format: func(k K) (string, error) { return format(k), nil }, parse: parse}
		if parse == nil {
			n.index = &index[K]{keys: map[string][]indexed[K]{}}
		}
		return n, nil
	}
	t := reflect.TypeFor[K]()
	switch {
	case t.Kind() == reflect.String:
		return stringNaming[K](), nil
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64:
		return &naming[K]{
			format: func(k K) (string, error) { return strconv.FormatInt(reflect.ValueOf(k).Int(), 10), nil },
			parse: func(s string) (k K, err error) {
				i, err := strconv.ParseInt(s, 10, t.Bits())
				reflect.ValueOf(&k).Elem().SetInt(i)
				return k, err
			},
		}, nil
	case t.Kind() >= reflect.Uint && t.Kind() <= reflect.Uintptr:
		return &naming[K]{
			format: func(k K) (string, error) { return strconv.FormatUint(reflect.ValueOf(k).Uint(), 10), nil },
			parse: func(s string) (k K, err error) {
				i, err := strconv.ParseUint(s, 10, t.Bits())
				reflect.ValueOf(&k).Elem().SetUint(i)
				return k, err
			},
		}, nil
	case t.Kind() == reflect.Array && t.Elem().Kind() == reflect.Uint8:
		return bytesNaming[K](t), nil
	}
	return nil, fmt.Errorf("%w: KeyString: needed for keys of type %s", ErrConfig, t)
}

// stringNaming is for all types that are strings underneath.
func stringNaming[K comparable]() *naming[K] {
	return &naming[K]{
		format: func(k K) (string, error) { return reflect.ValueOf(k).String(), nil },
		parse: func(s string) (k K, err error) {
			reflect.ValueOf(&k).Elem().SetString(s)
			return k, nil
		},
	}
}

// bytesNaming is for arrays of bytes: their own text if they have one that can be read back, as UUIDs do, else hex.
func bytesNaming[K comparable](t reflect.Type) *naming[K] {
	_, formats := any(*new(K)).(encoding.TextMarshaler)
	_, parses := any(new(K)).(encoding.TextUnmarshaler)
	if formats && parses {
		return &naming[K]{format: marshalText[K], parse: unmarshalText[K]}
	}
	return &naming[K]{
		format: func(k K) (string, error) { return hex.EncodeToString(arrayBytes(&k)), nil },
		parse: func(s string) (k K, err error) {
			if len(s) != hex.EncodedLen(t.Len()) {
				return k, hex.ErrLength
			}
			_, err = hex.Decode(arrayBytes(&k), []byte(s))
			return k, err
		},
	}
}

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

func unmarshalText[K comparable](s string) (k K, err error) {
	if u, ok := any(&k).(encoding.TextUnmarshaler); ok {
		err = u.UnmarshalText([]byte(s))
	}
	return k, err
}

// name is a key's string as it travels, or what is wrong with it.
func (n *naming[K]) name(k K) (string, error) {
	s, err := n.format(k)
	if err != nil {
		return "", err
	}
	s = escape(s)
	return s, validateText("key", s)
}

// find is the keys that a string of an event can mean, in their canonical spelling, and the tag. What others wrote by
// hand may look like a tag or an escaped key and be a plain one, so it counts as both.
func (n *naming[K]) find(wire string, yield func(key K, name string)) (tag string, isTag bool) {
	n.plain(wire, yield)
	if wire == "" || wire[0] != mark {
		return "", false
	}
	if key, ok := strings.CutPrefix(wire, keyPrefix); ok {
		n.plain(key, yield)
	}
	return strings.CutPrefix(wire, tagPrefix)
}

func (n *naming[K]) plain(text string, yield func(key K, name string)) {
	if n.parse == nil {
		n.index.find(escape(text), yield)
		return
	}
	key, err := n.parse(text)
	if err != nil {
		return
	}
	if name, err := n.name(key); err == nil {
		yield(key, name)
	}
}

// canonical is the name of a key that others wrote and that no known key has.
func (n *naming[K]) canonical(wire string) string {
	if strings.HasPrefix(wire, keyPrefix) {
		return wire
	}
	return escape(wire)
}

// names is all that a string of an event can mean.
func (n *naming[K]) names(wire string) (names []string) {
	tag, isTag := n.find(wire, func(_ K, name string) { names = append(names, name) })
	switch {
	case isTag:
		names = append(names, TagKey(tag))
	case len(names) == 0:
		names = append(names, n.canonical(wire))
	}
	return names
}

// index finds keys by their names, where there is no other way. It counts what the cache holds and loads of each.
type index[K comparable] struct {
	mu   sync.Mutex
	keys map[string][]indexed[K]
}

type indexed[K comparable] struct {
	key  K
	held int
}

func (x *index[K]) add(name string, key K) {
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	list := x.keys[name]
	for i := range list {
		if list[i].key == key {
			list[i].held++
			return
		}
	}
	x.keys[name] = append(list, indexed[K]{key, 1})
}

func (x *index[K]) remove(name string, key K) {
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	list := x.keys[name]
	for i := range list {
		if list[i].key != key {
			continue
		}
		if list[i].held--; list[i].held > 0 {
			return
		}
		if len(list) == 1 {
			delete(x.keys, name)
			return
		}
		list[i] = list[len(list)-1]
		x.keys[name] = list[:len(list)-1]
		return
	}
}

func (x *index[K]) find(name string, yield func(key K, name string)) {
	x.mu.Lock()
	list := append([]indexed[K](nil), x.keys[name]...)
	x.mu.Unlock()
	for _, i := range list {
		yield(i.key, name)
	}
}
