package cache

import (
	"fmt"
	"strings"
)

// JoinKey makes one text of several, for KeyString of keys with several parts. Other parts never give the same text,
// whatever characters they have, so no two keys are taken for one: the parts are joined by colons, and a colon or a backslash
// within a part has a backslash before it. In SQL a part is replace(replace(part, '\', '\\'), ':', '\:').
//
// Without parts it is the text of one empty part.
func JoinKey(parts ...string) string {
	escaped := make([]string, len(parts))
	for i, part := range parts {
		escaped[i] = joinEscaper.Replace(part)
	}
	return strings.Join(escaped, ":")
}

var joinEscaper = strings.NewReplacer(`\`, `\\`, `:`, `\:`)

// SplitKey is the inverse of JoinKey, for ParseKey. A text that JoinKey does not make is an error that is ErrKey.
func SplitKey(text string) (parts []string, err error) {
	var part strings.Builder
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case ':':
			parts = append(parts, part.String())
			part.Reset()
		case '\\':
			if i++; i == len(text) || text[i] != ':' && text[i] != '\\' {
				return nil, fmt.Errorf("%w: a backslash stands before something else than a colon or a backslash", ErrKey)
			}
			part.WriteByte(text[i])
		default:
			part.WriteByte(text[i])
		}
	}
	return append(parts, part.String()), nil
}
