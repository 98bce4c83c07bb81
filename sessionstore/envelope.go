package sessionstore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/google/uuid"
)

// The data column: one byte for the kind of envelope, then for a plain one the codec's version and what it wrote, for a
// sealed one a nonce and the same two encrypted with AES-256-GCM by a random key of the session's own. That key stands
// beside it, wrapped by one derived from the token, which the database never sees. The row's id and version are
// authenticated along, so that an envelope cannot be moved to another row, nor an old one put back.
const (
	envelopePlain  = 1
	envelopeSealed = 2

	dataKeyBytes = 32
	nonceBytes   = 12
	overhead     = 16
)

// dataKey encrypts one session's data. The zero value is none.
type dataKey [dataKeyBytes]byte

func (dataKey) String() string             { return "(secret)" }
func (dataKey) GoString() string           { return "(secret)" }
func (dataKey) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("(secret)")) }

func newDataKey() dataKey {
	var k dataKey
	_, _ = rand.Read(k[:])
	return k
}

func gcm(k []byte) cipher.AEAD {
	block, err := aes.NewCipher(k)
	if err != nil {
		panic(err) // only for a wrong length, which is constant
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// wrap encrypts the data's key for the holder of a token.
func (k *dataKey) wrap(s *secret, id uuid.UUID) []byte {
	b := make([]byte, nonceBytes, nonceBytes+dataKeyBytes+overhead)
	_, _ = rand.Read(b)
	return gcm(wrappingKey(s)).Seal(b, b, k[:], id[:])
}

// unwrap is the reverse.
func unwrap(wrapped []byte, s *secret, id uuid.UUID) (k dataKey, err error) {
	if len(wrapped) != nonceBytes+dataKeyBytes+overhead {
		return k, fmt.Errorf("%w: wrapped key of %d bytes", ErrUnreadable, len(wrapped))
	}
	if _, err := gcm(wrappingKey(s)).Open(k[:0], wrapped[:nonceBytes], wrapped[nonceBytes:], id[:]); err != nil {
		return dataKey{}, fmt.Errorf("%w: its key does not unwrap", ErrUnreadable)
	}
	return k, nil
}

func wrappingKey(s *secret) []byte {
	own := *s // what hkdf takes goes to the heap; the caller's need not
	k, err := hkdf.Key(sha256.New, own[:], nil, "pgcoherence session data key", dataKeyBytes)
	if err != nil {
		panic(err) // only for a length that is constant
	}
	return k
}

func associated(id uuid.UUID, version int64) []byte {
	return binary.BigEndian.AppendUint64(id[:], uint64(version))
}

// pack makes the column of what a codec wrote. A nil key leaves it plain.
func pack(k *dataKey, id uuid.UUID, version int64, codec byte, encoded []byte) []byte {
	if k == nil {
		b := make([]byte, 0, 2+len(encoded))
		return append(append(b, envelopePlain, codec), encoded...)
	}
	b := make([]byte, 1+nonceBytes, 1+nonceBytes+1+len(encoded)+overhead)
	b[0] = envelopeSealed
	_, _ = rand.Read(b[1:])
	plain := append(make([]byte, 0, 1+len(encoded)), codec)
	return gcm(k[:]).Seal(b, b[1:], append(plain, encoded...), associated(id, version))
}

// unpack is the reverse. key is asked only for a sealed envelope.
func unpack(data []byte, id uuid.UUID, version int64, key func() (dataKey, error)) (codec byte, encoded []byte, err error) {
	if len(data) == 0 {
		return 0, nil, fmt.Errorf("%w: it is empty", ErrUnreadable)
	}
	switch data[0] {
	case envelopePlain:
		if len(data) < 2 {
			return 0, nil, fmt.Errorf("%w: it is cut short", ErrUnreadable)
		}
		return data[1], data[2:], nil
	case envelopeSealed:
		if len(data) < 1+nonceBytes+1+overhead {
			return 0, nil, fmt.Errorf("%w: it is cut short", ErrUnreadable)
		}
		k, err := key()
		if err != nil {
			return 0, nil, err
		}
		plain, err := gcm(k[:]).Open(nil, data[1:1+nonceBytes], data[1+nonceBytes:], associated(id, version))
		if err != nil {
			return 0, nil, fmt.Errorf("%w: it does not decrypt", ErrUnreadable)
		}
		return plain[0], plain[1:], nil
	}

	return 0, nil, fmt.Errorf("%w: envelope of kind %d", ErrUnreadable, data[0])
}
