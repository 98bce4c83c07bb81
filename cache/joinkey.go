package cache

import (
	"fmt"
	"strings"
)

// JoinKey joins the parts of a key into one text, for Config.KeyString. Different parts always give different texts:
// parts are joined by colons, and a colon or backslash within a part is escaped by a backslash. In SQL a part is
// replace(replace(part, '\', '\\'), ':', '\:').
//
// Without parts the result is the text of one empty part.
func JoinKey(parts ...string) string {
	escaped := make([]string, len(parts))
	for i, part := range parts {
		escaped[i] = joinEscaper.Replace(part)
	}
	return strings.Join(escaped, ":")
}

var joinEscaper = strings.NewReplacer(`\`, `\\`, `:`, `\:`)

// SplitKey is the inverse of [JoinKey], for Config.ParseKey. For a text that JoinKey cannot produce it returns
// [ErrKey].
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
