;; The fast pass over L2 tables of standard entries ("Cluster mapping" in the specification). It gives the result of
;; decodeL2Entry. It is fastest where entries name host clusters in a row. A disk that is written from its start to its
;; end gets them in this order.
;;
;; `npm run kernel` writes it into l2-kernel-code.ts. A test compares the two files.

(module
  ;; The tables, and the arrays that receive the result.
  (import "kernel" "memory" (memory 1))

  ;; Returns 1 if every entry is plain. Returns 0 if one is compressed, has reserved bits, or names a cluster that is
  ;; unaligned or past the last host cluster.
  (func (export "scan")
    (param $table i32)        ;; address of adjacent tables as stored, a multiple of 8 entries
    (param $tableEnd i32)     ;; address after them
    (param $allocated i32)    ;; address of one bit for each entry: receives whether the image itself has the cluster
    (param $referenced i32)   ;; address of one bit for each host cluster: receives those that entries name
    (param $clusterBits i32)
    (param $lastCluster i32)  ;; number of the last host cluster, below 2^31
    (result i32)

    (local $oddBits i64)      ;; bits that no plain entry has
    (local $rareBits v128)    ;; of two entries as stored: bits that the loops over eight entries do not handle
    ;; These loops look at 32 bits of each offset. They are the cluster number and $scale zeros after it.
    (local $lowBytes v128)    ;; of two entries as stored: the places of these bytes
    (local $scale i32)
    (local $minusOne v128)    ;; eight times -1, with $scale zeros after it

    (local $first i32)        ;; the first cluster of the present row
    (local $last i32)         ;; the last 32 bits that the row has named; before the first where it has none

    (local $entries01 v128) (local $entries23 v128) (local $entries45 v128) (local $entries67 v128)
    (local $named0123 v128) (local $named4567 v128)
    (local $zeros v128)
    (local $named v128)       ;; of eight lanes: all ones if the entry names a cluster
    (local $place v128)       ;; of eight lanes: minus the number of entries up to this one that name a cluster
    (local $lasts v128)
    (local $seen v128)        ;; of two entries as stored: all bits that one of eight entries has

    (local $bits i32)         ;; of $allocated
    (local $at i32)
    (local $cluster i32)
    (local $end i32)          ;; of eight entries that are decoded one by one
    (local $entry i64)
    (local $number i64)       ;; of the cluster that it names

    ;; Bit 62 means a compressed cluster. Bits 56…61 and 1…8 are reserved, and so are offset bits below the cluster size.
    (local.set $oddBits
      (i64.or
        (i64.const 0x7f000000000001fe)
        (i64.and
          (i64.const 0x00fffffffffffe00)
          (i64.sub (i64.shl (i64.const 1) (i64.extend_i32_u (local.get $clusterBits))) (i64.const 1)))))
    ;; Besides these, offset bits above the 32 bits, and bit 0: a zero cluster.
    (if (i32.ge_u (local.get $clusterBits) (i32.const 16))
      (then
        (local.set $scale (i32.sub (local.get $clusterBits) (i32.const 16)))
        (local.set $lowBytes (v128.const i8x16 5 4 3 2 13 12 11 10 -1 -1 -1 -1 -1 -1 -1 -1))
        (local.set $rareBits (i64x2.splat (i64.or (local.get $oddBits) (i64.const 0x00ff000000000001)))))
      (else
        (local.set $scale (i32.sub (local.get $clusterBits) (i32.const 8)))
        (local.set $lowBytes (v128.const i8x16 6 5 4 3 14 13 12 11 -1 -1 -1 -1 -1 -1 -1 -1))
        (local.set $rareBits (i64x2.splat (i64.or (local.get $oddBits) (i64.const 0x00ffff0000000001))))))
    (local.set $rareBits
      (i8x16.swizzle (local.get $rareBits) (v128.const i8x16 7 6 5 4 3 2 1 0 15 14 13 12 11 10 9 8)))
    (local.set $minusOne (i16x8.neg (i16x8.splat (i32.shl (i32.const 1) (local.get $scale)))))

    (local.set $first (i32.const 1))
    (loop $eight
      (local.set $entries01 (v128.load (local.get $table)))
      (local.set $entries23 (v128.load offset=16 (local.get $table)))
      (local.set $entries45 (v128.load offset=32 (local.get $table)))
      (local.set $entries67 (v128.load offset=48 (local.get $table)))
      (local.set $named0123
        (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
          (i8x16.swizzle (local.get $entries01) (local.get $lowBytes))
          (i8x16.swizzle (local.get $entries23) (local.get $lowBytes))))
      (local.set $named4567
        (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
          (i8x16.swizzle (local.get $entries45) (local.get $lowBytes))
          (i8x16.swizzle (local.get $entries67) (local.get $lowBytes))))
      (local.set $named
        (v128.not
          (i16x8.narrow_i32x4_s
            (i32x4.eq (local.get $named0123) (local.get $zeros))
            (i32x4.eq (local.get $named4567) (local.get $zeros)))))
      (local.set $bits (i16x8.bitmask (local.get $named)))
      ;; The sum of all lanes up to each one. V8 has one instruction for each of these shuffles.
      (local.set $place
        (i16x8.add (local.get $named)
          (i8x16.shuffle 30 31 0 1 2 3 4 5 6 7 8 9 10 11 12 13 (local.get $named) (local.get $zeros))))
      (local.set $place
        (i16x8.add (local.get $place)
          (i8x16.shuffle 28 29 30 31 0 1 2 3 4 5 6 7 8 9 10 11 (local.get $place) (local.get $zeros))))
      (local.set $place
        (i16x8.add (local.get $place)
          (i8x16.shuffle 24 25 26 27 28 29 30 31 0 1 2 3 4 5 6 7 (local.get $place) (local.get $zeros))))

      ;; All plain, and in a row with the entries before?
      (local.set $lasts (i32x4.splat (local.get $last)))
      (local.set $seen
        (v128.or
          (v128.or (local.get $entries01) (local.get $entries23))
          (v128.or (local.get $entries45) (local.get $entries67))))
      (if
        (i32.eqz
          (v128.any_true
            (v128.or
              (v128.and (local.get $seen) (local.get $rareBits))
              (v128.and (local.get $named)
                (i16x8.ne
                  (i16x8.mul (local.get $place) (local.get $minusOne))
                  ;; Distances that do not fit become the largest ones, so none seems small.
                  (i16x8.narrow_i32x4_s
                    (i32x4.sub (local.get $named0123) (local.get $lasts))
                    (i32x4.sub (local.get $named4567) (local.get $lasts))))))))
        (then
          (local.set $last
            (i32.add (local.get $last) (i32.shl (i32.popcnt (local.get $bits)) (local.get $scale))))
          (local.set $table (i32.add (local.get $table) (i32.const 64))))
        (else
          (local.set $last (i32.shr_u (local.get $last) (local.get $scale)))
          (if (i32.gt_u (local.get $last) (local.get $lastCluster)) (then (return (i32.const 0))))
          (call $mark (local.get $referenced) (local.get $first) (local.get $last))
          (local.set $named0123 (i32x4.shr_u (local.get $named0123) (local.get $scale)))
          (local.set $named4567 (i32x4.shr_u (local.get $named4567) (local.get $scale)))
          ;; If all are plain at least, each is marked alone, without a branch. A disk that is written at random gets its
          ;; clusters in such an order. An entry without a cluster marks cluster 0, the header, which is in use.
          (if
            (i32.eqz
              (v128.any_true
                (v128.or
                  (v128.and (local.get $seen) (local.get $rareBits))
                  (v128.or
                    (i32x4.gt_u (local.get $named0123) (i32x4.splat (local.get $lastCluster)))
                    (i32x4.gt_u (local.get $named4567) (i32x4.splat (local.get $lastCluster)))))))
            (then
              (local.set $cluster (i32x4.extract_lane 0 (local.get $named0123)))
              (local.set $at
                (i32.add (local.get $referenced) (i32.shr_u (local.get $cluster) (i32.const 3))))
              (i32.store8
                (local.get $at)
                (i32.or
                  (i32.load8_u (local.get $at))
                  (i32.shl (i32.const 1) (i32.and (local.get $cluster) (i32.const 7)))))
              (local.set $last (select (local.get $cluster) (local.get $last) (local.get $cluster)))
              (local.set $cluster (i32x4.extract_lane 1 (local.get $named0123)))
              (local.set $at
                (i32.add (local.get $referenced) (i32.shr_u (local.get $cluster) (i32.const 3))))
              (i32.store8
                (local.get $at)
                (i32.or
                  (i32.load8_u (local.get $at))
                  (i32.shl (i32.const 1) (i32.and (local.get $cluster) (i32.const 7)))))
              (local.set $cluster (i32x4.extract_lane 2 (local.get $named0123)))
              (local.set $at
                (i32.add (local.get $referenced) (i32.shr_u (local.get $cluster) (i32.const 3))))
              (i32.store8
                (local.get $at)
                (i32.or
                  (i32.load8_u (local.get $at))
                  (i32.shl (i32.const 1) (i32.and (local.get $cluster) (i32.const 7)))))
              (local.set $cluster (i32x4.extract_lane 3 (local.get $named0123)))
              (local.set $at
                (i32.add (local.get $referenced) (i32.shr_u (local.get $cluster) (i32.const 3))))
              (i32.store8
                (local.get $at)
                (i32.or
                  (i32.load8_u (local.get $at))
                  (i32.shl (i32.const 1) (i32.and (local.get $cluster) (i32.const 7)))))
              (local.set $last (select (local.get $cluster) (local.get $last) (local.get $cluster)))
              (local.set $cluster (i32x4.extract_lane 0 (local.get $named4567)))
              (local.set $at
                (i32.add (local.get $referenced) (i32.shr_u (local.get $cluster) (i32.const 3))))
              (i32.store8
                (local.get $at)
                (i32.or
                  (i32.load8_u (local.get $at))
                  (i32.shl (i32.const 1) (i32.and (local.get $cluster) (i32.const 7)))))
              (local.set $cluster (i32x4.extract_lane 1 (local.get $named4567)))
              (local.set $at
                (i32.add (local.get $referenced) (i32.shr_u (local.get $cluster) (i32.const 3))))
              (i32.store8
                (local.get $at)
                (i32.or
                  (i32.load8_u (local.get $at))
                  (i32.shl (i32.const 1) (i32.and (local.get $cluster) (i32.const 7)))))
              (local.set $cluster (i32x4.extract_lane 2 (local.get $named4567)))
              (local.set $at
                (i32.add (local.get $referenced) (i32.shr_u (local.get $cluster) (i32.const 3))))
              (i32.store8
                (local.get $at)
                (i32.or
                  (i32.load8_u (local.get $at))
                  (i32.shl (i32.const 1) (i32.and (local.get $cluster) (i32.const 7)))))
              (local.set $cluster (i32x4.extract_lane 3 (local.get $named4567)))
              (local.set $at
                (i32.add (local.get $referenced) (i32.shr_u (local.get $cluster) (i32.const 3))))
              (i32.store8
                (local.get $at)
                (i32.or
                  (i32.load8_u (local.get $at))
                  (i32.shl (i32.const 1) (i32.and (local.get $cluster) (i32.const 7)))))
              (local.set $last (select (local.get $cluster) (local.get $last) (local.get $cluster)))
              (local.set $table (i32.add (local.get $table) (i32.const 64))))
            (else
              (local.set $end (i32.add (local.get $table) (i32.const 64)))
              (loop $one
                (local.set $entry
                  (i64x2.extract_lane 0
                    (i8x16.swizzle
                      (v128.load64_zero (local.get $table))
                      (v128.const i8x16 7 6 5 4 3 2 1 0 15 14 13 12 11 10 9 8))))
                (local.set $number
                  (i64.shr_u
                    (i64.and (local.get $entry) (i64.const 0x00fffffffffffe00))
                    (i64.extend_i32_u (local.get $clusterBits))))
                (if
                  (i32.or
                    (i64.ne (i64.and (local.get $entry) (local.get $oddBits)) (i64.const 0))
                    (i64.gt_u (local.get $number) (i64.extend_i32_u (local.get $lastCluster))))
                  (then (return (i32.const 0))))
                ;; Entries with a host cluster or the zero flag are allocated. The next one goes to bit 7.
                (local.set $bits
                  (i32.or
                    (i32.shr_u (local.get $bits) (i32.const 1))
                    (i32.shl
                      (i64.ne
                        (i64.and (local.get $entry) (i64.const 0x00fffffffffffe01))
                        (i64.const 0))
                      (i32.const 7))))
                (local.set $cluster (i32.wrap_i64 (local.get $number)))
                (local.set $at
                  (i32.add (local.get $referenced) (i32.shr_u (local.get $cluster) (i32.const 3))))
                (i32.store8
                  (local.get $at)
                  (i32.or
                    (i32.load8_u (local.get $at))
                    (i32.shl (i32.const 1) (i32.and (local.get $cluster) (i32.const 7)))))
                (local.set $last (select (local.get $cluster) (local.get $last) (local.get $cluster)))
                (local.set $table (i32.add (local.get $table) (i32.const 8)))
                (br_if $one (i32.lt_u (local.get $table) (local.get $end))))))
          ;; The next row is expected after one of these clusters. Any other one would be correct, too, since $first
          ;; follows from $last. Both count in the 32 bits. In longer files they go on from the remainder.
          (local.set $last (i32.shl (local.get $last) (local.get $scale)))
          (local.set $first (i32.add (i32.shr_u (local.get $last) (local.get $scale)) (i32.const 1)))))
      (i32.store8 (local.get $allocated) (local.get $bits))
      (local.set $allocated (i32.add (local.get $allocated) (i32.const 1)))
      (br_if $eight (i32.lt_u (local.get $table) (local.get $tableEnd))))

    (local.set $last (i32.shr_u (local.get $last) (local.get $scale)))
    (if (i32.gt_u (local.get $last) (local.get $lastCluster)) (then (return (i32.const 0))))
    (call $mark (local.get $referenced) (local.get $first) (local.get $last))
    (i32.const 1))

  ;; Sets the bits from the first to the last, or none if the last comes before the first.
  (func $mark (param $bits i32) (param $first i32) (param $last i32)
    (local $at i32)
    (local $lastAt i32)
    (local $mask i32)
    (if (i32.gt_u (local.get $first) (local.get $last)) (then (return)))
    (local.set $at (i32.add (local.get $bits) (i32.shr_u (local.get $first) (i32.const 3))))
    (local.set $lastAt (i32.add (local.get $bits) (i32.shr_u (local.get $last) (i32.const 3))))
    ;; The bits of the first byte.
    (local.set $mask (i32.shl (i32.const 0xff) (i32.and (local.get $first) (i32.const 7))))
    (if (i32.lt_u (local.get $at) (local.get $lastAt))
      (then
        (i32.store8 (local.get $at) (i32.or (i32.load8_u (local.get $at)) (local.get $mask)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (memory.fill (local.get $at) (i32.const 0xff) (i32.sub (local.get $lastAt) (local.get $at)))
        (local.set $mask (i32.const 0xff))))
    ;; The bits of the last byte.
    (local.set $mask
      (i32.and
        (local.get $mask)
        (i32.shr_u (i32.const 0xff) (i32.xor (i32.and (local.get $last) (i32.const 7)) (i32.const 7)))))
    (i32.store8
      (local.get $lastAt)
      (i32.or (i32.load8_u (local.get $lastAt)) (local.get $mask)))))
