package redistier

// Frames is for tests of the framing.
type Frames = frames

// NewFrames makes a frames as a connection to a server has it.
func NewFrames(maxBulk int64) *Frames { return &frames{maxBulk: maxBulk} }

// Feed is feed.
func (f *frames) Feed(b []byte) (int, error) { return f.feed(b) }
