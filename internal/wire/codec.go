package wire

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
)

const macBytes = 12

// EpochIDLen is the length of an epoch's short form in a payload.
const EpochIDLen = 16

// Codec signs and reads the payloads of one epoch. It is safe for concurrent use. The zero Codec reads nothing.
type Codec struct {
	epoch  string
	secret []byte
}

// NewCodec returns the codec of an epoch, given by its short form and its secret, which never appears in a payload or a log.
func NewCodec(epoch string, secret []byte) *Codec {
	return &Codec{epoch: epoch, secret: bytes.Clone(secret)}
}

// Epoch returns the short form of the epoch.
func (c *Codec) Epoch() string { return c.epoch }

// Decode reads a payload. The errors are ErrMalformed, ErrVersion, ErrEpoch and ErrMAC; the authentication code is
// compared in constant time and before the body is parsed.
func (c *Codec) Decode(payload string) (*Message, error) {
	if len(payload) > 8000 {
		return nil, ErrMalformed
	}
	version, rest, ok := strings.Cut(payload, " ")
	if !ok {
		return nil, ErrMalformed
	}
	if n, err := strconv.ParseUint(version, 10, 16); err != nil || strconv.FormatUint(n, 10) != version {
		return nil, ErrMalformed
	} else if n != Version {
		return nil, ErrVersion
	}
	epoch, _, ok := strings.Cut(rest, " ")
	if !ok || len(epoch) != EpochIDLen {
		return nil, ErrMalformed
	}
	if c == nil || epoch != c.epoch {
		return nil, ErrEpoch
	}
	signed, mac := payload, ""
	if i := strings.LastIndexByte(payload, ' '); i > len(version)+len(epoch)+1 {
		signed, mac = payload[:i], payload[i+1:]
	}
	if !hmac.Equal([]byte(mac), []byte(c.sign(signed))) {
		return nil, ErrMAC
	}

	body := signed[len(version)+len(epoch)+2:]
	if m, ok := readPlain(body); ok {
		return m, nil
	}
	return readJSON(body)
}

func readJSON(body string) (*Message, error) {
	var m Message
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		return nil, ErrMalformed
	}
	return &m, nil
}

// seal makes a payload of a body.
func (c *Codec) seal(body []byte) string {
	var b strings.Builder
	b.Grow(len(body) + overhead)
	b.WriteString(strconv.Itoa(Version))
	b.WriteByte(' ')
	b.WriteString(c.epoch)
	b.WriteByte(' ')
	b.Write(body)
	mac := c.sign(b.String())
	b.WriteByte(' ')
	b.WriteString(mac)
	return b.String()
}

func (c *Codec) sign(text string) string {
	h := hmac.New(sha256.New, c.secret)
	h.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:macBytes])
}

// appendString appends s as a JSON string. Unlike json.Marshal it leaves <, > and & readable.
func appendString(b []byte, s string) []byte {
	if plain(s) {
		return append(append(append(b, '"'), s...), '"')
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	return append(b, bytes.TrimRight(buf.Bytes(), "\n")...)
}

// plain reports whether s needs no escapes in JSON, as nearly all keys do.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
