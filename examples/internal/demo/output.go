package demo

import (
	"bytes"
	"io"
	"sync"
)

// firstLine passes on the first line written to it and discards the rest. It is for one goroutine.
type firstLine struct {
	line chan string
	buf  []byte
	done bool
}

func (f *firstLine) Write(b []byte) (int, error) {
	if f.done {
		return len(b), nil
	}
	f.buf = append(f.buf, b...)
	if line, _, ok := bytes.Cut(f.buf, []byte("\n")); ok {
		f.line <- string(line)
		f.done, f.buf = true, nil
	}
	return len(b), nil
}

// lastWords keeps the end of a child's standard error, for Failure.
type lastWords struct {
	copy io.Writer

	mu  sync.Mutex
	buf []byte
}

func (l *lastWords) Write(b []byte) (int, error) {
	l.mu.Lock()
	l.buf = append(l.buf, b...)
	l.buf = l.buf[max(0, len(l.buf)-2000):]
	l.mu.Unlock()
	return l.copy.Write(b)
}

func (l *lastWords) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(bytes.TrimSpace(l.buf))
}

// Locked returns a writer to which several children can write concurrently.
func Locked(to io.Writer) io.Writer { return &lockedWriter{to: to} }

type lockedWriter struct {
	mu sync.Mutex
	to io.Writer
}

func (w *lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}
