package cache

import (
	"encoding/binary"
	"errors"
	"strings"
	"unsafe"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

// envelopeVersion is the first byte of what lies in a tier. What has another one is of another version of this package,
// and a miss.
const envelopeVersion = 2

// envelopeAbsent is the flag, in the second byte, of a key that does not exist. Other flags are of another version.
const envelopeAbsent = 1

var errEnvelope = errors.New("cache: not a value of this cache")

// envelope is what lies in a tier: a value and from when it is.
type envelope struct {
	topic, name string            // whose value it is: what lies under a wrong key is a miss
	proof       string            // the key itself, where the name may be that of several: see keyProof
	program     string            // what made the value: see tierNames
	absent      bool              // the key does not exist; there is no value
	epoch       string            // of the log
	at          position.Snapshot // what it was read in, or an earlier one
	extras      []uint64          // transactions that are seen beside
	tags        []string
	expires     int64 // Unix milliseconds; all pods' clocks are about right, or a value is kept longer or shorter
	value       []byte
}

// bytes are the envelope's: varints, and strings with their length before them; ascending numbers as differences.
func (e *envelope) bytes() []byte {
	b := make([]byte, 2, 96+len(e.topic)+len(e.name)+len(e.value))
	if b[0] = envelopeVersion; e.absent {
		b[1] = envelopeAbsent
	}

	b = appendText(b, e.topic)
	b = appendText(b, e.name)
	b = appendText(b, e.proof)
	b = appendText(b, e.program)
	b = appendText(b, e.epoch)

	// The snapshot.
	b = binary.AppendUvarint(b, e.at.Xmin)
	b = binary.AppendUvarint(b, e.at.Xmax-e.at.Xmin)
	b = binary.AppendUvarint(b, uint64(len(e.at.Xip)))
	last := e.at.Xmin
	for _, xid := range e.at.Xip {
		b = binary.AppendUvarint(b, xid-last)
		last = xid
	}

	b = binary.AppendUvarint(b, uint64(len(e.extras)))
	for _, xid := range e.extras {
		b = binary.AppendUvarint(b, xid)
	}
	b = binary.AppendUvarint(b, uint64(len(e.tags)))
	for _, tag := range e.tags {
		b = appendText(b, tag)
	}

	b = binary.AppendVarint(b, e.expires)
	return append(b, e.value...)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// parseEnvelope reads what bytes wrote. Value, and all texts but the tags, share the data's memory, which must not be
// changed any more.
func parseEnvelope(data []byte) (*envelope, error) {
	if len(data) < 2 || data[0] != envelopeVersion || data[1]&^envelopeAbsent != 0 {
		return nil, errEnvelope
	}

	r := &envelopeReader{rest: data[2:]}
	e := &envelope{
		absent: data[1] == envelopeAbsent, topic: r.text(), name: r.text(), proof: r.text(), program: r.text(), epoch: r.text(),
	}

	// The snapshot: its numbers have to ascend.
	e.at.Xmin = r.number()
	e.at.Xmax = e.at.Xmin + r.number()
	r.bad = r.bad || e.at.Xmax < e.at.Xmin
	last := e.at.Xmin
	for i := range r.length() {
		difference := r.number()
		xid := last + difference
		if xid < last || xid >= e.at.Xmax || i > 0 && difference == 0 {
			r.bad = true
		}
		if r.bad {
			break
		}
		e.at.Xip = append(e.at.Xip, xid)
		last = xid
	}

	for range r.length() {
		e.extras = append(e.extras, r.number())
	}
	for range r.length() {
		e.tags = append(e.tags, strings.Clone(r.text())) // they outlive the value's bytes
	}

	expires, n := binary.Varint(r.rest)
	if r.bad || n <= 0 {
		return nil, errEnvelope
	}
	e.expires, e.value = expires, r.rest[n:]
	return e, nil
}

// envelopeReader reads one item after the other; after the first bad one all are zero.
type envelopeReader struct {
	rest []byte
	bad  bool
}

func (r *envelopeReader) number() uint64 {
	v, n := binary.Uvarint(r.rest)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// length is a number of items or bytes that can still follow.
func (r *envelopeReader) length() int {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.bad = true
		return 0
	}
	return int(n) //nolint:gosec // not larger than a slice's length
}

// text shares the data's memory, which is not changed any more.
func (r *envelopeReader) text() string {
	n := r.length()
	s := unsafe.String(unsafe.SliceData(r.rest), n) //nolint:gosec // n bytes are there
	r.rest = r.rest[n:]
	return s
}
