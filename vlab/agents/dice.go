package agents

import (
	"hash/fnv"
	"math"
	"time"
)

// dice make numbers out of names: the same seed and the same words always fall the same way. There is no state, so two
// machines that describe the same cable agree on it, and a restart changes nothing.
type dice uint64

// bits spreads the words over 64 bits.
func (d dice) bits(words ...string) uint64 {
	h := fnv.New64a()
	for _, w := range words {
		h.Write([]byte(w))
		h.Write([]byte{0})
	}
	// FNV alone leaves the high bits of short words alike; this is the finaliser of splitmix64.
	x := h.Sum64() ^ (uint64(d) * 0x9e3779b97f4a7c15)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// unit returns a number in [0,1).
func (d dice) unit(words ...string) float64 { return float64(d.bits(words...)>>11) / (1 << 53) }

func (d dice) between(low, high float64, words ...string) float64 {
	return low + (high-low)*d.unit(words...)
}

// wander returns a value that drifts around a middle, by at most the given amount, slowly enough to draw.
func (d dice) wander(middle, by float64, now time.Time, words ...string) float64 {
	slow := d.swing(now, 47*time.Minute, append(words, "slow")...)
	fast := d.swing(now, 4*time.Minute, append(words, "fast")...)
	return middle + by*(0.7*slow+0.3*fast)
}

// swing is a sine of roughly the given period, between -1 and 1.
func (d dice) swing(now time.Time, period time.Duration, words ...string) float64 {
	return math.Sin(d.angle(now, period, words...))
}

func (d dice) angle(now time.Time, period time.Duration, words ...string) float64 {
	seconds := period.Seconds() * d.between(0.8, 1.25, append(words, "period")...)
	turns := float64(now.UnixMilli())/1000/seconds + d.unit(append(words, "phase")...)
	return 2 * math.Pi * (turns - math.Floor(turns))
}

// round keeps a number to some decimals, as instruments do.
func round(x float64, decimals int) float64 {
	scale := math.Pow10(decimals)
	return math.Round(x*scale) / scale
}

func stamp(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }
