package redistier

import (
	"bytes"
	"fmt"
)

// Limits of what a Redis can sensibly send us. rueidis has none: a length of -2 or of 2⁶² makes it panic on a goroutine
// of its own, and deep nesting overflows its stack.
const (
	maxLine     = 64 << 10
	maxElements = 64 << 10
	maxDepth    = 16
)

// frames follows the framing of RESP through a stream of bytes, without looking at what is in the frames. It accepts no
// more than what rueidis reads without harm: no streamed strings and aggregates, no attributes, none of which Redis sends
// to a client like this.
type frames struct {
	maxBulk int64
	push    bool // push messages may come

	line  []byte  // the beginning of a line that is not complete yet
	skip  int64   // bytes of a bulk string, and its CRLF, still to come
	nests []int64 // elements still to come, innermost last
	top   byte    // the type of the message at the top level
}

// feed takes the next bytes and returns how many messages, pushes not counted, they completed.
func (f *frames) feed(b []byte) (complete int, err error) {
	for len(b) > 0 {
		if f.skip > 0 {
			n := min(f.skip, int64(len(b)))
			f.skip, b = f.skip-n, b[n:]
			if f.skip == 0 {
				complete += f.close()
			}
			continue
		}

		end := bytes.IndexByte(b, '\n') + 1
		if rest := len(f.line) + max(end, 1); rest > maxLine || end == 0 && len(f.line)+len(b) > maxLine {
			return complete, fmt.Errorf("%w: a line of more than %d bytes", ErrProtocol, maxLine)
		}
		if end == 0 {
			f.line = append(f.line, b...)
			return complete, f.unfinished()
		}

		line := b[:end]
		if len(f.line) > 0 {
			f.line = append(f.line, line...)
			line = f.line
		}

		n, err := f.header(line)
		if err != nil {
			return complete, err
		}
		complete, b, f.line = complete+n, b[end:], f.line[:0]
	}
	return complete, nil
}

// unfinished is for lines that rueidis does not read to their end: it takes as many bytes as they should have.
func (f *frames) unfinished() error {
	if kind, n := f.line[0], len(f.line); kind == '_' && n > 2 || kind == '#' && n > 3 {
		return fmt.Errorf("%w: a line without CRLF", ErrProtocol)
	}
	return nil
}

// header takes the line that every message begins with, and most end with.
func (f *frames) header(line []byte) (complete int, err error) {
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return 0, fmt.Errorf("%w: a line without CRLF", ErrProtocol)
	}

	kind, text := line[0], line[1:len(line)-2]
	if len(f.nests) == 0 {
		f.top = kind
	} else if kind == '>' {
		return 0, fmt.Errorf("%w: a push inside of a message", ErrProtocol)
	}

	switch kind {
	case '+', '-', ':', ',', '(':
		return f.close(), nil
	case '_':
		if len(text) == 0 {
			return f.close(), nil
		}
	case '#':
		if len(text) == 1 {
			return f.close(), nil
		}
	case '$', '!', '=':
		switch n, ok := length(text, f.maxBulk); {
		case ok && n < 0:
			return f.close(), nil
		case ok:
			f.skip = n + 2
			return 0, nil
		}
	case '>', '*', '~', '%':
		if kind == '>' && !f.push {
			return 0, fmt.Errorf("%w: a push that was not asked for", ErrProtocol)
		}
		n, ok := length(text, maxElements)
		if kind == '%' {
			n *= 2
		}
		switch {
		case !ok || n < 0 && kind != '*' && kind != '~':
		case n <= 0:
			return f.close(), nil
		case len(f.nests) == maxDepth:
			return 0, fmt.Errorf("%w: nested more than %d deep", ErrProtocol, maxDepth)
		default:
			f.nests = append(f.nests, n)
			return 0, nil
		}
	}
	return 0, fmt.Errorf("%w: %.20q is not the beginning of a message", ErrProtocol, line)
}

// close ends a message, and those around it whose last element it was.
func (f *frames) close() (complete int) {
	for len(f.nests) > 0 {
		last := len(f.nests) - 1
		if f.nests[last]--; f.nests[last] > 0 {
			return 0
		}
		f.nests = f.nests[:last]
	}
	if f.top == '>' {
		return 0
	}
	return 1
}

// length reads a length from -1 to most.
func length(text []byte, most int64) (n int64, ok bool) {
	if string(text) == "-1" {
		return -1, true
	}
	if len(text) == 0 || len(text) > 12 {
		return 0, false
	}

	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, n <= most
}
