package sqltext

import (
	"regexp"
	"strings"
)

// Compact returns a statement on one line and without comments, which are for readers of the file: an unprepared
// statement is sent to the server each time, and appears in its log and in pg_stat_statements. Quoted text is unchanged.
func Compact(sql string) string {
	var b strings.Builder
	b.Grow(len(sql))
	space := false
	emit := func(text string) {
		if space && b.Len() > 0 {
			b.WriteByte(' ')
		}
		space = false
		b.WriteString(text)
	}

	for sql != "" {
		n := token(sql)
		switch text := sql[:n]; {
		case strings.HasPrefix(text, "--"), strings.HasPrefix(text, "/*"), isBlank(text):
			space = true
		default:
			emit(text)
		}
		sql = sql[n:]
	}
	return b.String()
}

var dollarTag = regexp.MustCompile(`^\$([A-Za-z_][A-Za-z_0-9]*)?\$`)

// token returns the length of what sql, which is not empty, begins with: a comment, quoted text, or one byte.
func token(sql string) int {
	switch {
	case strings.HasPrefix(sql, "--"):
		return until(sql, 2, "\n")
	case strings.HasPrefix(sql, "/*"):
		return block(sql)
	case sql[0] == '"':
		return quoted(sql, 1, '"', false)
	case sql[0] == '\'':
		return quoted(sql, 1, '\'', false)
	case len(sql) > 1 && (sql[0] == 'E' || sql[0] == 'e') && sql[1] == '\'':
		return quoted(sql, 2, '\'', true)
	case sql[0] == '$':
		if tag := dollarTag.FindString(sql); tag != "" {
			return until(sql, len(tag), tag)
		}
	case isWord(sql[0]): // a whole word, so that its last letter is not taken for the E of a string, nor a $ in it for a quote
		n := 1
		for n < len(sql) && (isWord(sql[n]) || sql[n] == '$' || sql[n] >= '0' && sql[n] <= '9') {
			n++
		}
		return n
	}
	return 1
}

func isWord(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// until returns where the next end after from ends, or the length of sql.
func until(sql string, from int, end string) int {
	if i := strings.Index(sql[from:], end); i >= 0 {
		return from + i + len(end)
	}
	return len(sql)
}

// quoted returns where quoted text ends whose content begins at from. A doubled quote belongs to it, which makes two
// texts of it here. The result is the same.
func quoted(sql string, from int, quote byte, escapes bool) int {
	for i := from; i < len(sql); i++ {
		switch {
		case escapes && sql[i] == '\\':
			i++
		case escapes && sql[i] == quote && i+1 < len(sql) && sql[i+1] == quote:
			i++ // what follows is still escaped
		case sql[i] == quote:
			return i + 1
		}
	}
	return len(sql)
}

// block returns where a comment ends; comments can be nested.
func block(sql string) int {
	depth := 0
	for i := 0; i < len(sql)-1; i++ {
		switch sql[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}

	return len(sql)
}

// isBlank reports whether a token is white space, of which each is a token of its own.
func isBlank(token string) bool { return strings.TrimLeft(token, " \t\n\r\f\v") == "" }
