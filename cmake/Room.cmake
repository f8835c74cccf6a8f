# mqa_room(NAME SOURCES … LINK …): one room of the code as a static library mqa_NAME.
#
# A room's headers are included as "room/header.h", and only rooms that it links are on its include
# path: each room gets a folder of its own in the build tree that holds one link, to src/NAME. So an
# arrow that points upward doesn't compile.
function(mqa_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;LINK;PRIVATE_LINK" ${ARGN})
  set(door ${PROJECT_BINARY_DIR}/rooms/${name})
  file(MAKE_DIRECTORY ${door})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${door}/${name} SYMBOLIC)
  add_library(mqa_${name} STATIC ${ROOM_SOURCES})
  target_include_directories(mqa_${name} PUBLIC ${door} ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(mqa_${name} PUBLIC ${ROOM_LINK} PRIVATE mqa_flags ${ROOM_PRIVATE_LINK})
endfunction()

# mqa_test(NAME SOURCES … LINK … [LABELS …]): a cmocka test program, registered with ctest.
function(mqa_test name)
  cmake_parse_arguments(TEST "" "" "SOURCES;LINK;LABELS;ARGS" ${ARGN})
  add_executable(test_${name} ${TEST_SOURCES})
  target_link_libraries(test_${name} PRIVATE ${TEST_LINK} mqa_flags PkgConfig::CMOCKA)
  target_compile_definitions(test_${name} PRIVATE MQA_TEST_DATA="${CMAKE_CURRENT_SOURCE_DIR}/data")
  add_test(NAME ${name} COMMAND test_${name} ${TEST_ARGS})
  if(TEST_LABELS)
    set_tests_properties(${name} PROPERTIES LABELS "${TEST_LABELS}")
  endif()
endfunction()

# mqa_test_on_old_cpu(NAME): under qemu also on a CPU without the extensions that its default one has all of.
function(mqa_test_on_old_cpu name)
  if(CMAKE_CROSSCOMPILING_EMULATOR MATCHES "qemu-aarch64")
    add_test(NAME ${name}_cortex-a57 COMMAND test_${name})
    set_tests_properties(${name}_cortex-a57 PROPERTIES ENVIRONMENT QEMU_CPU=cortex-a57)
  endif()
endfunction()

# mqa_fuzz(NAME SOURCES ... LINK ...): the libFuzzer target fuzz_NAME, where MQA_FUZZ asks for such.
function(mqa_fuzz name)
  cmake_parse_arguments(FUZZ "" "" "SOURCES;LINK" ${ARGN})
  if(MQA_FUZZ)
    add_executable(fuzz_${name} ${FUZZ_SOURCES})
    target_link_libraries(fuzz_${name} PRIVATE ${FUZZ_LINK} mqa_flags)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  endif()
endfunction()
