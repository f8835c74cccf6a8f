# mqa_embed(NAME FILE): the text of FILE as the array mqa_embedded_NAME of bytes, terminated, in embedded/NAME.h of the build tree, with
# its SHA-256 in base64 as MQA_EMBEDDED_NAME_SHA256: what a Content-Security-Policy names a script by. A name is one file's.
function(mqa_embed name file)
  get_property(other GLOBAL PROPERTY mqa_embedded_${name})
  if(other)
    message(FATAL_ERROR "${file}: ${name} is the name of ${other}: embed it by another")
  endif()
  set_property(GLOBAL PROPERTY mqa_embedded_${name} ${file})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  file(SHA256 ${file} digest)
  set(digest "${digest}00") # 33 bytes, 11 groups of three
  set(digits "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
  set(base64 "")
  foreach(group RANGE 10)
    math(EXPR at "6 * ${group}")
    string(SUBSTRING ${digest} ${at} 6 three)
    foreach(shift 18 12 6 0)
      math(EXPR digit "(0x${three} >> ${shift}) & 63")
      string(SUBSTRING ${digits} ${digit} 1 digit)
      string(APPEND base64 ${digit})
    endforeach()
  endforeach()
  string(REGEX REPLACE ".$" "=" base64 ${base64})
  string(TOUPPER ${name} upper)
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/embedded/embedded/${name}.h CONTENT [[
static const unsigned char mqa_embedded_@name@[] = {@bytes@0};
#define MQA_EMBEDDED_@upper@_SHA256 "sha256-@base64@"
]] @ONLY)
endfunction()
