package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"sync/atomic"
)

// tierNames makes the keys of a cache in its tier:
//
//	database ":" topic ":" program ":" key
//
// Database is a digest of the log's epoch, which is of one database and one life of its log: values of another are of no
// use, and those of another database on the same Redis are not overwritten. Program is a digest of the codec and the
// version of the values, so that two versions of a program in which they differ do not meet.
type tierNames struct {
	topic   string
	program string
	middle  string // ":" topic ":" program ":"

	database atomic.Pointer[tierDatabase] // the newest
}

type tierDatabase struct{ epoch, digest string }

func newTierNames(topic, codec, version string) *tierNames {
	sum := sha256.Sum256([]byte(codec + "\x00" + version))
	n := &tierNames{topic: topic, program: digest(sum[:])}
	n.middle = ":" + n.topic + ":" + n.program + ":"
	return n
}

// key returns what a key is called in the tier.
func (n *tierNames) key(epoch, name string) string {
	if len(name) > maxTierKey {
		sum := sha256.Sum256([]byte(name))
		name = "~" + hex.EncodeToString(sum[:]) // no short name begins like this: see keyPrefix
	}
	return n.digestOf(epoch) + n.middle + name
}

func (n *tierNames) digestOf(epoch string) string {
	if known := n.database.Load(); known != nil && known.epoch == epoch {
		return known.digest
	}
	sum := sha256.Sum256([]byte(epoch))
	d := &tierDatabase{epoch, digest(sum[:])}
	n.database.Store(d)
	return d.digest
}
