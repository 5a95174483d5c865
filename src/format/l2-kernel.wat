;; The fast pass over an L2 table of standard entries ("Cluster mapping" in the specification): the same judgement as
;; that of decodeL2Entry. Eight entries at a time, without a branch for each; fastest where they name host clusters in a
;; row, which is how a disk that is written from its start to its end gets them; one by one where one is not plain.
;;
;; `npm run kernel` writes it into l2-kernel-code.ts; the tests see to it that this was done.

(module
  ;; The table, and the arrays that receive the answer.
  (import "kernel" "memory" (memory 1))

  ;; Returns 1 when every entry is plain; 0 when one is compressed, has reserved bits, or names a place that is unaligned
  ;; or past the last host cluster. Every array ends with a whole 64-bit word.
  (func (export "scan")
    (param $table i32)        ;; address of the table as stored, a multiple of 8 entries
    (param $tableEnd i32)     ;; address behind it
    (param $allocated i32)         ;; address of one bit for each entry: receives what the image itself holds
    (param $referenced i32)   ;; address of one bit for each host cluster: receives what entries name
    (param $clusterBits i32)
    (param $lastCluster i32)  ;; number of the last host cluster, below 2^31
    (result i32)

    (local $oddBits i64)      ;; bits that no plain entry has
    (local $rareBits v128)    ;; bits in two entries as stored that are not for the look at eight
    (local $odd i64)          ;; not zero once an entry was not plain
    (local $first i32)        ;; where the present row of host clusters begins
    (local $last i32)         ;; where it ends so far: one less where there is none

    (local $entries01 v128) (local $entries23 v128) (local $entries45 v128) (local $entries67 v128)
    (local $clusters0123 v128) (local $clusters4567 v128)
    (local $none v128)        ;; of eight lanes, all ones where an entry names no cluster
    (local $zeros v128)
    (local $place v128)       ;; of eight lanes: which of those that name one this is, from 1

    (local $end i32)          ;; of the present eight
    (local $entry i64)
    (local $cluster i64)
    (local $bits i32)         ;; of $allocated
    (local $at i32)
    (local $named i32)        ;; the cluster that one of eight names

    ;; Bit 62 is a compressed cluster; bits 56…61 and 1…8 are reserved; so are offset bits below the cluster size.
    (local.set $oddBits
      (i64.or
        (i64.const 0x7f000000000001fe)
        (i64.and
          (i64.const 0x00fffffffffffe00)
          (i64.sub (i64.shl (i64.const 1) (i64.extend_i32_u (local.get $clusterBits))) (i64.const 1)))))
    ;; Besides those: bit 0, a zero cluster; and cluster numbers of more than 32 bits.
    (local.set $rareBits
      (i8x16.swizzle
        (i64x2.splat
          (i64.or
            (i64.or (local.get $oddBits) (i64.const 1))
            (i64.and
              (i64.const 0x00fffffffffffe00)
              (i64.shl
                (i64.const -1)
                (i64.extend_i32_u (i32.add (local.get $clusterBits) (i32.const 32)))))))
        (v128.const i8x16 7 6 5 4 3 2 1 0 15 14 13 12 11 10 9 8)))

    (local.set $first (i32.const 1))
    (loop $eight
      (local.set $entries01 (v128.load (local.get $table)))
      (local.set $entries23 (v128.load offset=16 (local.get $table)))
      (local.set $entries45 (v128.load offset=32 (local.get $table)))
      (local.set $entries67 (v128.load offset=48 (local.get $table)))

      ;; The low 32 bits of the cluster numbers. Entries are stored big-endian; bits 56…63 are no part of an offset.
      (local.set $clusters0123
        (i8x16.shuffle 0 1 2 3 8 9 10 11 16 17 18 19 24 25 26 27
          (i64x2.shr_u
            (i8x16.swizzle (local.get $entries01) (v128.const i8x16 7 6 5 4 3 2 1 -1 15 14 13 12 11 10 9 -1))
            (local.get $clusterBits))
          (i64x2.shr_u
            (i8x16.swizzle (local.get $entries23) (v128.const i8x16 7 6 5 4 3 2 1 -1 15 14 13 12 11 10 9 -1))
            (local.get $clusterBits))))
      (local.set $clusters4567
        (i8x16.shuffle 0 1 2 3 8 9 10 11 16 17 18 19 24 25 26 27
          (i64x2.shr_u
            (i8x16.swizzle (local.get $entries45) (v128.const i8x16 7 6 5 4 3 2 1 -1 15 14 13 12 11 10 9 -1))
            (local.get $clusterBits))
          (i64x2.shr_u
            (i8x16.swizzle (local.get $entries67) (v128.const i8x16 7 6 5 4 3 2 1 -1 15 14 13 12 11 10 9 -1))
            (local.get $clusterBits))))
      (local.set $none
        (i16x8.narrow_i32x4_s
          (i32x4.eq (local.get $clusters0123) (v128.const i32x4 0 0 0 0))
          (i32x4.eq (local.get $clusters4567) (v128.const i32x4 0 0 0 0))))
      ;; Of lanes that are -1 or 0, how many up to here are -1.
      (local.set $place (v128.not (local.get $none)))
      (local.set $place
        (i16x8.add (local.get $place)
          (i8x16.shuffle 16 16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 (local.get $place) (local.get $zeros))))
      (local.set $place
        (i16x8.add (local.get $place)
          (i8x16.shuffle 16 16 16 16 0 1 2 3 4 5 6 7 8 9 10 11 (local.get $place) (local.get $zeros))))
      (local.set $place
        (i16x8.neg
          (i16x8.add (local.get $place)
            (i8x16.shuffle 16 16 16 16 16 16 16 16 0 1 2 3 4 5 6 7 (local.get $place) (local.get $zeros)))))

      ;; All plain, and in a row with what came before?
      (if
        (i32.and
          (i32.and
            (i32.eqz
              (v128.any_true
                (v128.and
                  (local.get $rareBits)
                  (v128.or
                    (v128.or (local.get $entries01) (local.get $entries23))
                    (v128.or (local.get $entries45) (local.get $entries67))))))
            (i16x8.all_true
              (v128.or
                (local.get $none)
                (i16x8.eq
                  (local.get $place)
                  ;; Distances that do not fit are made as large as can be, so none looks small.
                  (i16x8.narrow_i32x4_s
                    (i32x4.sub (local.get $clusters0123) (i32x4.splat (local.get $last)))
                    (i32x4.sub (local.get $clusters4567) (i32x4.splat (local.get $last))))))))
          (i32.le_u
            (i32.add (local.get $last) (i16x8.extract_lane_u 7 (local.get $place)))
            (local.get $lastCluster)))
        (then
          (local.set $last (i32.add (local.get $last) (i16x8.extract_lane_u 7 (local.get $place))))
          (local.set $bits (i32.xor (i16x8.bitmask (local.get $none)) (i32.const 0xff)))
          (local.set $table (i32.add (local.get $table) (i32.const 64))))
        (else
          (call $mark (local.get $referenced) (local.get $first) (local.get $last))
          ;; All plain at least? Then each is marked by itself, without a branch: that is how a disk that is written at random
          ;; gets its clusters. One that names none marks cluster 0, the header, which is in use anyway.
          (if
            (i32.eqz
              (i32.or
                (v128.any_true
                  (v128.and
                    (local.get $rareBits)
                    (v128.or
                      (v128.or (local.get $entries01) (local.get $entries23))
                      (v128.or (local.get $entries45) (local.get $entries67)))))
                (v128.any_true
                  (v128.or
                    (i32x4.gt_u (local.get $clusters0123) (i32x4.splat (local.get $lastCluster)))
                    (i32x4.gt_u (local.get $clusters4567) (i32x4.splat (local.get $lastCluster)))))))
            (then
              (local.set $named (i32x4.extract_lane 0 (local.get $clusters0123)))
              (local.set $at (i32.add (local.get $referenced) (i32.shr_u (local.get $named) (i32.const 3))))
              (i32.store8 (local.get $at)
                (i32.or (i32.load8_u (local.get $at)) (i32.shl (i32.const 1) (i32.and (local.get $named) (i32.const 7)))))
              (local.set $last (select (local.get $named) (local.get $last) (local.get $named)))
              (local.set $named (i32x4.extract_lane 1 (local.get $clusters0123)))
              (local.set $at (i32.add (local.get $referenced) (i32.shr_u (local.get $named) (i32.const 3))))
              (i32.store8 (local.get $at)
                (i32.or (i32.load8_u (local.get $at)) (i32.shl (i32.const 1) (i32.and (local.get $named) (i32.const 7)))))
              (local.set $last (select (local.get $named) (local.get $last) (local.get $named)))
              (local.set $named (i32x4.extract_lane 2 (local.get $clusters0123)))
              (local.set $at (i32.add (local.get $referenced) (i32.shr_u (local.get $named) (i32.const 3))))
              (i32.store8 (local.get $at)
                (i32.or (i32.load8_u (local.get $at)) (i32.shl (i32.const 1) (i32.and (local.get $named) (i32.const 7)))))
              (local.set $last (select (local.get $named) (local.get $last) (local.get $named)))
              (local.set $named (i32x4.extract_lane 3 (local.get $clusters0123)))
              (local.set $at (i32.add (local.get $referenced) (i32.shr_u (local.get $named) (i32.const 3))))
              (i32.store8 (local.get $at)
                (i32.or (i32.load8_u (local.get $at)) (i32.shl (i32.const 1) (i32.and (local.get $named) (i32.const 7)))))
              (local.set $last (select (local.get $named) (local.get $last) (local.get $named)))
              (local.set $named (i32x4.extract_lane 0 (local.get $clusters4567)))
              (local.set $at (i32.add (local.get $referenced) (i32.shr_u (local.get $named) (i32.const 3))))
              (i32.store8 (local.get $at)
                (i32.or (i32.load8_u (local.get $at)) (i32.shl (i32.const 1) (i32.and (local.get $named) (i32.const 7)))))
              (local.set $last (select (local.get $named) (local.get $last) (local.get $named)))
              (local.set $named (i32x4.extract_lane 1 (local.get $clusters4567)))
              (local.set $at (i32.add (local.get $referenced) (i32.shr_u (local.get $named) (i32.const 3))))
              (i32.store8 (local.get $at)
                (i32.or (i32.load8_u (local.get $at)) (i32.shl (i32.const 1) (i32.and (local.get $named) (i32.const 7)))))
              (local.set $last (select (local.get $named) (local.get $last) (local.get $named)))
              (local.set $named (i32x4.extract_lane 2 (local.get $clusters4567)))
              (local.set $at (i32.add (local.get $referenced) (i32.shr_u (local.get $named) (i32.const 3))))
              (i32.store8 (local.get $at)
                (i32.or (i32.load8_u (local.get $at)) (i32.shl (i32.const 1) (i32.and (local.get $named) (i32.const 7)))))
              (local.set $last (select (local.get $named) (local.get $last) (local.get $named)))
              (local.set $named (i32x4.extract_lane 3 (local.get $clusters4567)))
              (local.set $at (i32.add (local.get $referenced) (i32.shr_u (local.get $named) (i32.const 3))))
              (i32.store8 (local.get $at)
                (i32.or (i32.load8_u (local.get $at)) (i32.shl (i32.const 1) (i32.and (local.get $named) (i32.const 7)))))
              (local.set $last (select (local.get $named) (local.get $last) (local.get $named)))
              (local.set $bits (i32.xor (i16x8.bitmask (local.get $none)) (i32.const 0xff)))
              (local.set $table (i32.add (local.get $table) (i32.const 64))))
            (else
              (local.set $bits (i32.const 0))
              (local.set $end (i32.add (local.get $table) (i32.const 64)))
              (loop $one
                (local.set $entry
                  (i64x2.extract_lane 0
                    (i8x16.swizzle
                      (v128.load64_zero (local.get $table))
                      (v128.const i8x16 7 6 5 4 3 2 1 0 15 14 13 12 11 10 9 8))))
                ;; Held is what has a host cluster, or the zero flag. The next one goes to bit 7.
                (local.set $bits
                  (i32.or
                    (i32.shr_u (local.get $bits) (i32.const 1))
                    (i32.shl
                      (i64.ne
                        (i64.and (local.get $entry) (i64.const 0x00fffffffffffe01))
                        (i64.const 0))
                      (i32.const 7))))
                (local.set $odd
                  (i64.or (local.get $odd) (i64.and (local.get $entry) (local.get $oddBits))))
                (local.set $cluster
                  (i64.shr_u
                    (i64.and (local.get $entry) (i64.const 0x00fffffffffffe00))
                    (i64.extend_i32_u (local.get $clusterBits))))
                (if (i64.gt_u (local.get $cluster) (i64.extend_i32_u (local.get $lastCluster)))
                  (then (local.set $odd (i64.const 1)))
                  (else
                    (if (i64.ne (local.get $cluster) (i64.const 0))
                      (then
                        (local.set $last (i32.wrap_i64 (local.get $cluster)))
                        (local.set $at
                          (i32.add
                            (local.get $referenced)
                            (i32.shl (i32.shr_u (local.get $last) (i32.const 6)) (i32.const 3))))
                        (i64.store
                          (local.get $at)
                          (i64.or
                            (i64.load (local.get $at))
                            (i64.shl (i64.const 1) (local.get $cluster))))))))
                (local.set $table (i32.add (local.get $table) (i32.const 8)))
                (br_if $one (i32.lt_u (local.get $table) (local.get $end))))))
          (local.set $first (i32.add (local.get $last) (i32.const 1)))))
      (i32.store8 (local.get $allocated) (local.get $bits))
      (local.set $allocated (i32.add (local.get $allocated) (i32.const 1)))
      (br_if $eight (i32.lt_u (local.get $table) (local.get $tableEnd))))

    (call $mark (local.get $referenced) (local.get $first) (local.get $last))
    (i64.eqz (local.get $odd)))

  ;; Sets the bits from the first to the last; none where the last comes before the first.
  (func $mark (param $bits i32) (param $first i32) (param $last i32)
    (local $at i32)
    (local $lastAt i32)
    (local $mask i32)
    (if (i32.gt_u (local.get $first) (local.get $last)) (then (return)))
    (local.set $at (i32.add (local.get $bits) (i32.shr_u (local.get $first) (i32.const 3))))
    (local.set $lastAt (i32.add (local.get $bits) (i32.shr_u (local.get $last) (i32.const 3))))
    ;; From the first on in its byte …
    (local.set $mask (i32.shl (i32.const 0xff) (i32.and (local.get $first) (i32.const 7))))
    (if (i32.lt_u (local.get $at) (local.get $lastAt))
      (then
        (i32.store8 (local.get $at) (i32.or (i32.load8_u (local.get $at)) (local.get $mask)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (memory.fill (local.get $at) (i32.const 0xff) (i32.sub (local.get $lastAt) (local.get $at)))
        (local.set $mask (i32.const 0xff))))
    ;; … up to the last in its own.
    (local.set $mask
      (i32.and
        (local.get $mask)
        (i32.shr_u (i32.const 0xff) (i32.xor (i32.and (local.get $last) (i32.const 7)) (i32.const 7)))))
    (i32.store8
      (local.get $lastAt)
      (i32.or (i32.load8_u (local.get $lastAt)) (local.get $mask)))))
