package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// ear hears all that leaves the pods and is not for the client: their metrics, their logs, down to what is for debugging,
// with the errors of all calls, and every notification. None of it may hold a token, what proves one, a one-time value or
// data.
type ear struct {
	mu            sync.Mutex
	heard         bytes.Buffer
	notifications int64
	secrets       map[[earPrefix]byte][]string // by how they begin
	count         int64
}

const (
	earPrefix = 12
	earMost   = 64 << 20
)

func newEar() *ear { return &ear{secrets: map[[earPrefix]byte][]string{}} }

// Write implements io.Writer, for logs.
func (e *ear) Write(text []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.heard.Len() < earMost {
		e.heard.Write(text)
	}
	return len(text), nil
}

// secret notes one that is written as it is.
func (e *ear) secret(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.count++
	e.add(text)
}

func (e *ear) add(text string) {
	begin := [earPrefix]byte([]byte(text[:earPrefix]))
	e.secrets[begin] = append(e.secrets[begin], text)
}

// token notes a token, or a one-time value, in the ways in which it may be written, and what proves it: the second half of
// its hash.
func (e *ear) token(token string) {
	text, _, _ := strings.Cut(token, ".") // the seal is for nobody
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return
	}

	sum := sha256.Sum256(raw)
	e.mu.Lock()
	defer e.mu.Unlock()

	e.count++

	for _, secret := range [][]byte{raw, sum[16:]} {
		e.add(hex.EncodeToString(secret))
		e.add(base64.RawURLEncoding.EncodeToString(secret))
		e.add(base64.RawStdEncoding.EncodeToString(secret))
		e.add(string(secret))
	}
}

// listen hears the notifications, past all proxies.
func (e *ear) listen(ctx context.Context, s *scene) {
	for pause(ctx, lookEvery) == nil {
		dialling, cancel := context.WithTimeout(ctx, time.Second)
		conn, err := pgx.Connect(dialling, s.truthDSN())
		cancel()

		if err != nil {
			continue
		}

		_, err = conn.Exec(ctx, `LISTEN "pgcoherence:pgcoherence"`)
		for err == nil {
			n, waitErr := conn.WaitForNotification(ctx)
			if err = waitErr; err == nil {
				_, _ = e.Write([]byte(n.Payload + "\n")) // never fails
				e.mu.Lock()
				e.notifications++
				e.mu.Unlock()
			}
		}

		disconnect(conn)
	}
}

// metrics is how many metrics were heard, each time they were.
func (e *ear) metrics() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return bytes.Count(e.heard.Bytes(), []byte("\n# TYPE pgcoherence_"))
}

// leaks are the secrets that were heard.
func (e *ear) leaks() (found []string, looked, size, notifications int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	seen := map[string]bool{}
	text := e.heard.Bytes()
	for i := 0; i+earPrefix <= len(text); i++ {
		for _, secret := range e.secrets[[earPrefix]byte(text[i:i+earPrefix])] {
			if !seen[secret] && bytes.HasPrefix(text[i:], []byte(secret)) {
				seen[secret] = true
				found = append(found, string(text[max(0, i-80):i]))
			}
		}
	}
	return found, e.count, int64(len(text)), e.notifications
}
