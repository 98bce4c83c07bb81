package cache

import (
	"encoding/hex"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The parsers of the key types that need no KeyString return all keys that a text can mean. A key stands for a column, and
// not every writer spells a column's value in the same way: a trigger writes bytea as \x0a, a session with another
// bytea_output writes it as \\012, Go writes 0a. To drop one key too many is harmless.

// byteaPrefix begins the text of a bytea in hexadecimal.
const byteaPrefix = `\x`

// parseStringKey is for all types that are strings underneath. A string may stand for a bytea, as hexadecimal or as it is.
func parseStringKey[K comparable](s string) []K {
	keys := []K{stringKey[K](s)}
	if digits, ok := strings.CutPrefix(s, byteaPrefix); ok {
		if data, err := hex.DecodeString(digits); err == nil {
			keys = append(keys, stringKey[K](digits), stringKey[K](string(data)))
		}
	}
	return keys
}

// parseByteaStringKey is for strings that are known to stand for a bytea: in the escape format, which sessions with
// bytea_output = 'escape' write, every text is one.
func parseByteaStringKey[K comparable](s string) []K {
	keys := parseStringKey[K](s)
	if data, ok := unescapeBytea(s); ok {
		keys = append(keys, stringKey[K](hex.EncodeToString(data)))
		if raw := string(data); raw != s {
			keys = append(keys, stringKey[K](raw))
		}
	}
	return keys
}

// parsePaddedKey is for strings that are known to stand for a character(n): a cast to text drops the padding, with which
// the column is printed, and keys may be spelled in both ways.
func parsePaddedKey[K comparable](n int) func(string) []K {
	return func(s string) []K {
		bare := strings.TrimRight(s, " ")
		keys := []K{stringKey[K](bare)}
		if missing := n - utf8.RuneCountInString(bare); missing > 0 {
			keys = append(keys, stringKey[K](bare+strings.Repeat(" ", missing)))
		}
		return keys
	}
}

func stringKey[K comparable](s string) (k K) {
	reflect.ValueOf(&k).Elem().SetString(s)
	return k
}

// parseIntKey is for all signed integers.
func parseIntKey[K comparable](s string) []K {
	var k K
	v := reflect.ValueOf(&k).Elem()
	i, err := strconv.ParseInt(wholeNumber(s), 10, v.Type().Bits())
	if err != nil {
		return nil
	}
	v.SetInt(i)
	return []K{k}
}

// parseUintKey is for all unsigned integers.
func parseUintKey[K comparable](s string) []K {
	var k K
	v := reflect.ValueOf(&k).Elem()
	i, err := strconv.ParseUint(wholeNumber(s), 10, v.Type().Bits())
	if err != nil {
		return nil
	}
	v.SetUint(i)
	return []K{k}
}

// wholeNumber strips what a column type adds to a whole number: the zeros of a numeric(10,2), the padding of a char(10).
func wholeNumber(s string) string {
	s = strings.TrimRight(s, " ")
	if whole, fraction, ok := strings.Cut(s, "."); ok && strings.Trim(fraction, "0") == "" {
		return whole
	}
	return s
}

// parseBytesKey is for arrays of bytes: hexadecimal, with or without what Postgres writes before it, a UUID, or a bytea in
// the escape format.
func parseBytesKey[K comparable](s string) (keys []K) {
	var k K
	n := len(arrayBytes(&k))
	add := func(data []byte) {
		if len(data) == n {
			copy(arrayBytes(&k), data)
			keys = append(keys, k)
		}
	}

	digits := strings.TrimRight(strings.TrimPrefix(s, byteaPrefix), " ")
	if n == 16 && len(digits) == 36 && digits[8] == '-' && digits[13] == '-' && digits[18] == '-' && digits[23] == '-' {
		digits = strings.ReplaceAll(digits, "-", "")
	}
	if len(digits) == hex.EncodedLen(n) {
		if data, err := hex.DecodeString(digits); err == nil {
			add(data)
		}
	}
	if data, ok := unescapeBytea(s); ok {
		add(data)
	}
	return keys
}

// unescapeBytea reads a bytea in the escape format: a backslash is doubled, and what is not printable is three octal digits.
func unescapeBytea(s string) ([]byte, bool) {
	data := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\':
			data = append(data, s[i])
		case i+1 < len(s) && s[i+1] == '\\':
			data = append(data, '\\')
			i++
		case i+3 < len(s):
			b, err := strconv.ParseUint(s[i+1:i+4], 8, 8)
			if err != nil {
				return nil, false
			}
			data = append(data, byte(b))
			i += 3
		default:
			return nil, false
		}
	}

	return data, true
}
