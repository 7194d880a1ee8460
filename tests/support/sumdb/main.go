// Checks what Cloister wrote with Go's own packages for checksum databases.
//
// Standard input is JSON; each line of output is one check that held. Any failure ends with 1.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type proof struct {
	Index int64
	Leaf  []byte
	Path  [][]byte
}

type input struct {
	Vkey    string
	Note    string
	OldVkey string
	OldNote string
	Path    [][]byte
	Proofs  []proof
	Tiles   string
}

// tiles reads an export's tiles under the names that Go uses for those of height 8.
type tiles struct{ folder string }

func (t tiles) Height() int { return 8 }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		name := strings.TrimPrefix(tile.Path(), "tile/8/")
		data, err := os.ReadFile(filepath.Join(t.folder, "log", "tile", name))
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func open(text, vkey string) tlog.Tree {
	verifier, err := note.NewVerifier(vkey)
	check(err)
	opened, err := note.Open([]byte(text), note.VerifierList(verifier))
	check(err)
	lines := strings.Split(opened.Text, "\n")
	var tree tlog.Tree
	_, err = fmt.Sscanf(lines[1], "%d", &tree.N)
	check(err)
	tree.Hash, err = tlog.ParseHash(lines[2])
	check(err)
	return tree
}

func hashes(raw [][]byte) []tlog.Hash {
	var found []tlog.Hash
	for _, one := range raw {
		found = append(found, tlog.Hash(one))
	}
	return found
}

func main() {
	var in input
	check(json.NewDecoder(os.Stdin).Decode(&in))
	tree := open(in.Note, in.Vkey)
	fmt.Println("note", tree.N)
	if in.OldNote != "" {
		old := open(in.OldNote, in.OldVkey)
		check(tlog.CheckTree(hashes(in.Path), tree.N, tree.Hash, old.N, old.Hash))
		fmt.Println("consistency", old.N, tree.N)
	}
	for _, one := range in.Proofs {
		leaf := tlog.RecordHash(one.Leaf)
		check(tlog.CheckRecord(hashes(one.Path), tree.N, tree.Hash, one.Index, leaf))
	}
	fmt.Println("proofs", len(in.Proofs))
	if in.Tiles != "" {
		reader := tlog.TileHashReader(tree, tiles{in.Tiles})
		for index := int64(0); index < tree.N; index++ {
			_, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
			check(err)
		}
		fmt.Println("tiles", tree.N)
	}
}
