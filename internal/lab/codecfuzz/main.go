// Command codecfuzz reads mutated payloads, as many as one likes, beside Go's own fuzzer, which is made to find new paths
// and not to be fast.
//
//	go run ./internal/lab/codecfuzz -executions 1e9
//
// A plain loop without any guidance: genuine payloads, of events, marks, probes and questions, are mutated by a seeded
// generator (bits, bytes, numbers, pieces that are repeated, taken away, exchanged or taken from another payload) and read by
// the pods' codec. Seven of eight are mutated as they travel; the eighth is mutated before its authentication code is made, as by a
// pod that knows the secret, and so reaches the parsers behind the code. Each execution is one call of Decode. What must hold:
// it does not panic, gives a message or one of its four errors, and accepts nothing that was changed after the code was made.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"hash"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/position"
	"github.com/pgcoherence/pgcoherence/internal/wire"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "codecfuzz:", err)
		os.Exit(1)
	}
}

// Outcomes of an execution.
const (
	accepted = iota // a genuine one, by luck of the mutation
	parsed          // signed after it was mutated, and a message
	malformed
	otherVersion
	otherEpoch
	forged
	outcomes
)

var outcomeNames = [outcomes]string{"genuine", "parsed", "malformed", "of another version", "of another epoch", "forged"}

type counts [outcomes]atomic.Int64

func (c *counts) sum() (n int64) {
	for i := range c {
		n += c[i].Load()
	}
	return n
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("codecfuzz", flag.ContinueOnError)
	executions := flags.Float64("executions", 1e7, "how many payloads are read")
	seed := flags.Uint64("seed", rand.Uint64(), "of the mutations")
	workers := flags.Int("workers", runtime.GOMAXPROCS(0), "so many at once")
	every := flags.Duration("progress", 10*time.Second, "time between two lines about how far it is")
	if err := flags.Parse(args); err != nil {
		return err
	}
	fmt.Printf("codecfuzz: %.0f executions, %d workers, -seed %d\n", *executions, *workers, *seed)
	begun := time.Now()
	var c counts
	errs := make([]error, *workers)
	var all sync.WaitGroup
	for i := range *workers {
		all.Go(func() { errs[i] = work(ctx, *seed+uint64(i), int64(*executions)/int64(*workers), &c) })
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	tick := time.NewTicker(*every)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-tick.C:
			fmt.Fprintf(os.Stderr, "%.3g of %.3g, %.0f s\n", float64(c.sum()), *executions, time.Since(begun).Seconds())
		}
	}

	for i := range c {
		fmt.Printf("%14d %s\n", c[i].Load(), outcomeNames[i])
	}
	fmt.Printf("RESULT codec.executions %d\nRESULT codec.seconds %.0f\n", c.sum(), time.Since(begun).Seconds())
	return errors.Join(append(errs, context.Cause(ctx))...)
}

const (
	epoch  = "0123456789abcdef"
	secret = "a secret of the epoch's own"
	flush  = 1 << 12 // executions between two looks at the context
)

// work reads so many payloads.
func work(ctx context.Context, seed uint64, n int64, c *counts) (err error) {
	var payload string
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%q: panic: %v", payload, v)
		}
	}()

	m := newMutator(seed)
	codec := wire.NewCodec(epoch, []byte(secret))
	var found [outcomes]int64
	for i := range n {
		if i%flush == 0 {
			if ctx.Err() != nil {
				break
			}
			c.add(&found)
		}

		signed := m.random.Uint64()%8 == 0
		payload = m.next(signed)
		message, decodeErr := codec.Decode(payload)

		// What is accepted is looked at: nothing else needs the comparison.
		genuine := decodeErr == nil && slices.Contains(m.genuine, payload)
		outcome, err := judge(message, decodeErr, signed, genuine)
		if err != nil {
			return fmt.Errorf("%q: %w", payload, err)
		}

		found[outcome]++
	}

	c.add(&found)
	return nil
}

func (c *counts) add(found *[outcomes]int64) {
	for i := range found {
		c[i].Add(found[i])
		found[i] = 0
	}
}

// judge says what came of an execution, and is an error if it should not have.
func judge(m *wire.Message, err error, signed, genuine bool) (int, error) {
	switch {
	case (m == nil) != (err != nil):
		return 0, fmt.Errorf("message %v and error: %w", m, err)
	case err == nil && signed:
		return parsed, nil
	case err == nil && genuine:
		return accepted, nil
	case err == nil:
		return 0, errors.New("accepted, although it was changed on the way")
	case errors.Is(err, wire.ErrMalformed):
		return malformed, nil
	case errors.Is(err, wire.ErrVersion):
		return otherVersion, nil
	case errors.Is(err, wire.ErrEpoch):
		return otherEpoch, nil
	case errors.Is(err, wire.ErrMAC):
		return forged, nil
	}
	return 0, fmt.Errorf("an error of another kind: %w", err)
}

// mutator makes payloads.
type mutator struct {
	random   *rand.Rand
	genuine  []string // payloads
	bodies   []string // of them, without version, epoch and code
	mac      hash.Hash
	scratch  []byte
	numerals []string
}

func newMutator(seed uint64) *mutator {
	m := &mutator{
		random: rand.New(rand.NewPCG(seed, 1)), mac: hmac.New(sha256.New, []byte(secret)), //nolint:gosec // to be repeatable
		numerals: []string{"0", "-1", "00", "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616", "1e9", "0.5", "null", "true", `"`},
	}
	codec := wire.NewCodec(epoch, []byte(secret))
	id := func(x uint64, n int32) position.EventID { return position.EventID{XID: x, N: n} }
	mark := &wire.Mark{From: position.Stamp{}, Pods: 3}
	for _, events := range [][]wire.Event{
		nil,
		{{ID: id(1, 0), HasID: true, Topic: "users", Keys: []string{"1"}}},
		{{ID: id(10, 0), HasID: true, Topic: "users", Keys: []string{"1", "2", "3"}, At: 1764000000000000}, {ID: id(11, 2), HasID: true, Topic: "orders", All: true}},
		{{ID: id(12, 0), Topic: "ключ", Keys: []string{"日本", "a\"b", "c\\d", "<&>"}}, {ID: id(13, -3), HasID: true, Topic: "x", Keys: []string{strings.Repeat("k", 900)}}},
	} {
		m.genuine = append(m.genuine, codec.Pack(events, nil, false, 100)...)
		m.genuine = append(m.genuine, codec.Pack(events, mark, true, 100)...)
	}

	for _, p := range m.genuine {
		body := p[len("1 ")+len(epoch)+1:]
		m.bodies = append(m.bodies, body[:strings.LastIndexByte(body, ' ')])
	}

	return m
}

// next makes a payload.
func (m *mutator) next(signed bool) string {
	i := m.random.IntN(len(m.genuine))
	if !signed {
		m.mutate(m.genuine[i], m.genuine)
		return string(m.scratch)
	}
	m.mutate(m.bodies[i], m.bodies)
	m.scratch = append([]byte("1 "+epoch+" "), m.scratch...)
	m.mac.Reset()
	m.mac.Write(m.scratch)
	m.scratch = append(m.scratch, ' ')
	m.scratch = base64.RawURLEncoding.AppendEncode(m.scratch, m.mac.Sum(nil)[:12])
	return string(m.scratch)
}

// mutate writes a text, changed once or a few times, to scratch.
func (m *mutator) mutate(text string, others []string) {
	b := append(m.scratch[:0], text...)
	for range 1 + m.random.IntN(3) {
		if len(b) == 0 {
			break
		}

		at := m.random.IntN(len(b))
		end := min(len(b), at+1+m.random.IntN(16))
		switch m.random.IntN(8) {
		case 0:
			b[at] ^= 1 << m.random.IntN(8)
		case 1:
			b[at] = byte(m.random.IntN(256))
		case 2: // taken away
			b = append(b[:at], b[end:]...)
		case 3: // repeated
			b = append(b[:end], append([]byte(string(b[at:end])), b[end:]...)...)
		case 4: // cut off
			b = b[:at]
		case 5: // a number, or what stands in its place
			word := m.numerals[m.random.IntN(len(m.numerals))]
			b = append(b[:at], append([]byte(word), b[end:]...)...)
		case 6: // the end of another
			other := others[m.random.IntN(len(others))]
			b = append(b[:at], other[m.random.IntN(len(other)):]...)
		case 7: // exchanged
			to := m.random.IntN(len(b))
			b[at], b[to] = b[to], b[at]
		}
	}

	m.scratch = b
}
