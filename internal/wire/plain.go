package wire

import (
	"strconv"
	"strings"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

// readPlain reads a body in the form that Pack writes it: fields in that order, no blanks, strings that need no escapes.
// Nearly all bodies are so, every pod reads every one of them, and this takes a fraction of the time of encoding/json. It
// returns false for everything else, right or wrong, which is then encoding/json's to read.
func readPlain(body string) (*Message, bool) {
	r := plainReader{rest: body}
	m := &Message{}
	if !r.take(`{`) {
		return nil, false
	}
	first := true
	field := func(name string) bool {
		if !first {
			name = "," + name
		}
		if r.take(name) {
			first = false
			return true
		}
		return false
	}

	if field(`"e":[`) {
		m.Groups = readList(&r, r.group)
	}
	if field(`"m":{"from":`) {
		m.Mark = &Mark{From: r.stamp()}
		r.want(`,"to":`)
		m.Mark.To = r.stamp()
		if r.take(`,"n":`) {
			m.Mark.Pods = r.count()
		}
		r.want(`}`)
	}
	m.Ask = field(`"ask":true`)
	if field(`"p":`) {
		m.Probe = r.number()
	}
	r.want(`}`)
	return m, !r.failed && r.rest == ""
}

// plainReader reads from the front of rest. Once it has failed, what it returns means nothing.
type plainReader struct {
	rest   string
	failed bool
}

// take reads a text if it is next.
func (r *plainReader) take(text string) bool {
	rest, ok := strings.CutPrefix(r.rest, text)
	r.rest = rest
	return ok
}

// want reads a text that has to be next.
func (r *plainReader) want(text string) {
	if !r.take(text) {
		r.failed = true
	}
}

// group reads one group.
func (r *plainReader) group() (g Group) {
	r.want(`{"t":`)
	g.Topic = r.text()
	if r.take(`,"k":[`) {
		g.Keys = readList(r, r.text)
	}

	g.All = r.take(`,"all":true`)
	if r.take(`,"x":[`) {
		g.IDs = readList(r, r.id)
	}

	g.Also = r.take(`,"u":true`)
	if r.take(`,"w":[`) {
		g.XIDs = readList(r, r.number)
	}

	if r.take(`,"at":`) {
		negative := r.take(`-`)
		if g.At = r.count(); negative {
			g.At = -g.At
		}
	}

	r.want(`}`)
	return g
}

// readList reads the items of a list and the bracket after them. There is at least one.
func readList[T any](r *plainReader, item func() T) (items []T) {
	for !r.failed {
		items = append(items, item())
		if r.take(`]`) {
			return items
		}
		r.want(`,`)
	}
	return items
}

// text reads a string without escapes. It is a copy: a kept key must not keep the payload in memory.
func (r *plainReader) text() string { return strings.Clone(r.quoted()) }

// quoted is text without the copy.
func (r *plainReader) quoted() string {
	if !r.take(`"`) {
		r.failed = true
		return ""
	}
	end := strings.IndexByte(r.rest, '"')
	if end < 0 || !plain(r.rest[:end]) {
		r.failed = true
		return ""
	}

	text := r.rest[:end]
	r.rest = r.rest[end+1:]
	return text
}

// number reads a number without sign.
func (r *plainReader) number() uint64 {
	end := 0
	for end < len(r.rest) && r.rest[end] >= '0' && r.rest[end] <= '9' {
		end++
	}
	digits := r.rest[:end]
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || len(digits) > 1 && digits[0] == '0' {
		r.failed = true
	}
	r.rest = r.rest[end:]
	return n
}

// count reads a number that fits into an int64 with room to spare.
func (r *plainReader) count() int64 {
	n := r.number()
	if n > 1<<62 {
		r.failed = true
	}
	return int64(n)
}

// pair reads "left.right".
func (r *plainReader) pair() (left, right string) {
	left, right, ok := strings.Cut(r.quoted(), ".")
	if !ok {
		r.failed = true
	}
	return left, right
}

func (r *plainReader) id() position.EventID {
	left, right := r.pair()
	xid, err := strconv.ParseUint(left, 10, 64)
	n, err2 := strconv.ParseInt(right, 10, 32)
	if err != nil || err2 != nil {
		r.failed = true
	}
	return position.EventID{XID: xid, N: int32(n)}
}

func (r *plainReader) stamp() position.Stamp {
	s, err := position.ParseStamp(r.quoted())
	if err != nil {
		r.failed = true
	}
	return s
}
